// SPDX-License-Identifier: Apache-2.0
// The format strings themselves: where the fields are and which values go into them.
#include <cmath>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_format.h"
#include "tokamak/text/jinja_interpreter.h"
#include "tokamak/text/jinja_literal.h"
#include "tokamak/text/jinja_operators.h"
#include "tokamak/text/jinja_print.h"
#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

/// `format % values`: conversions take the values in order, or by (key) from a mapping.
class PercentFormat {
 public:
  PercentFormat(Heap& heap, const Value& format, const Value& values)
      : heap_(heap), rest_(format.text()), is_markup_(format.string().is_markup), values_(values) {}

  std::string run() {
    for (size_t percent; (percent = rest_.find('%')) != std::string::npos;) {
      add(rest_.substr(0, percent));
      rest_.remove_prefix(percent + 1);
      conversion();
    }
    add(rest_);
    // Anything that has elements counts as a mapping, of which nothing need be used.
    bool is_mapping = values_.is_dict() || values_.is(Kind::kList) || values_.is_undefined() ||
                      values_.as<Range>();
    if (next_ < num_positional() && !is_mapping) fail("not all values were used by the format");
    return std::move(out_);
  }

 private:
  void add(std::string_view text) {
    heap_.step_bytes(text.size());
    out_ += text;
    heap_.check_bytes(static_cast<int64_t>(out_.size()));
  }

  size_t num_positional() const { return values_.is(Kind::kTuple) ? values_.items().size() : 1; }

  Value next_value() {
    if (next_ >= num_positional()) fail("the format needs more values");
    ++next_;
    return values_.is(Kind::kTuple) ? values_.items()[next_ - 1] : values_;
  }

  char take(std::string_view choices) {
    if (rest_.empty() || choices.find(rest_[0]) == std::string::npos) return '\0';
    char found = rest_[0];
    rest_.remove_prefix(1);
    return found;
  }

  // A width or precision: digits, or * for the next value.
  int64_t count() {
    if (take("*")) {
      Value value = next_value();
      if (!value.is_integer()) fail("* needs an integer");
      heap_.check_bytes(std::abs(value.as_integer()));
      return value.as_integer();
    }
    int64_t n = 0;
    while (char digit = take("0123456789")) {
      n = n * 10 + (digit - '0');
      heap_.check_bytes(n);
    }
    return n;
  }

  Value keyed_value() {
    if (!values_.is_dict()) fail("the format requires a mapping");
    size_t end = 0;
    for (int open = 1; open > 0; ++end) {
      if (end == rest_.size()) fail("the key of the format is not closed");
      open += rest_[end] == '(' ? 1 : rest_[end] == ')' ? -1 : 0;
    }
    std::string_view key = rest_.substr(0, end - 1);
    rest_.remove_prefix(end);
    const Value* found = values_.dict().find(key);
    if (!found) fail("the format names '{}', which the mapping does not have", key);
    next_ = num_positional();
    return *found;
  }

  void conversion() {
    Value value;
    if (take("(")) value = keyed_value();
    FormatSpec spec;
    bool is_left = false, is_zero = false;
    while (char flag = take("-+ #0")) {
      is_left |= flag == '-';
      is_zero |= flag == '0';
      if (flag == '+' || (flag == ' ' && spec.sign != '+')) spec.sign = flag;
      spec.alternate |= flag == '#';
    }
    spec.width = count();
    if (spec.width < 0) {
      is_left = true;
      spec.width = -spec.width;
    }
    if (take(".")) spec.precision = std::max<int64_t>(count(), 0);
    take("hlL");
    if (rest_.empty()) fail("the format ends within a conversion");
    spec.type = rest_[0];
    rest_.remove_prefix(1);
    if (spec.type == '%') return add("%");
    if (value.is_missing()) value = next_value();
    if (is_left) spec.align = '<';
    if (is_zero && !is_left) {
      spec.fill = "0";
      spec.align = '=';
    }
    add(convert(spec, value));
  }

  std::string convert(FormatSpec spec, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        return text(spec, value);
      case 'c':
        if (value.is_string()) {
          if (value.string().num_characters != 1) fail("%c needs one character");
          return text(spec, value);
        }
        break;
      case 'd':
      case 'i':
      case 'u':
        spec.type = 'd';
        return integer(spec, whole_number(value));
      case 'o':
      case 'x':
      case 'X':
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        break;
      default:
        fail("unknown conversion %{}", spec.type);
    }
    if (value.is_undefined()) fail("{}", value.undefined_reason());
    if (!value.is_number()) fail("%{} needs a number, not {}", spec.type, value.type_name());
    bool is_float = std::string_view("eEfFgG").find(spec.type) != std::string::npos;
    if (is_float) return format_number(heap_, spec, value);
    if (value.is(Kind::kFloat)) fail("%{} needs an integer, not float", spec.type);
    return integer(spec, value);
  }

  // Precision is the least number of digits here.
  std::string integer(FormatSpec spec, const Value& value) {
    int64_t digits = std::exchange(spec.precision, -1);
    if (digits < 0) return format_number(heap_, spec, value);
    FormatSpec bare = spec;
    bare.width = 0;
    std::string number = format_number(heap_, bare, value);
    size_t prefix = number.find_first_not_of("+- ");
    if (spec.alternate && spec.type != 'd') prefix += 2;
    auto have = static_cast<int64_t>(number.size() - prefix);
    if (have < digits) number.insert(prefix, static_cast<size_t>(digits - have), '0');
    return pad(heap_, spec, std::move(number), spec.align ? spec.align : '>', prefix);
  }

  static Value whole_number(const Value& value) {
    if (value.is_undefined()) fail("{}", value.undefined_reason());
    if (value.is(Kind::kFloat)) return Value::integer(integer_from(value.as_float()));
    if (!value.is_number()) fail("%d needs a number, not {}", value.type_name());
    return value;
  }

  std::string text(FormatSpec spec, const Value& value) {
    std::string shown;
    spec.type == 'r' || spec.type == 'a' ? append_repr(heap_, shown, value)
                                         : append_text(heap_, shown, value);
    if (is_markup_ && !(value.is_string() && value.string().is_markup)) {
      shown = escape_html(heap_, shown);
    }
    FormatSpec plain;
    plain.width = spec.width;
    plain.precision = spec.precision;
    plain.align = spec.align == '<' ? '<' : '>';
    return format_value(heap_, plain, heap_.string(std::move(shown)));
  }

  Heap& heap_;
  std::string_view rest_;
  bool is_markup_;
  const Value& values_;
  size_t next_ = 0;
  std::string out_;
};

/// str.format: {name.attribute[item]!conversion:spec}.
class BraceFormat {
 public:
  BraceFormat(Interpreter& interpreter, const Arguments& arguments)
      : interpreter_(interpreter), heap_(interpreter.heap()), arguments_(arguments) {}

  // A specification may itself hold fields, those no further ones.
  std::string run(std::string_view format, int levels) {
    if (levels == 0) fail("the format nests too deep");
    std::string out;
    for (size_t i = 0; i < format.size(); ++i) {
      char c = format[i];
      bool is_double = i + 1 < format.size() && format[i + 1] == c;
      if ((c == '{' || c == '}') && is_double && (levels == 2 || c == '{')) {
        out += c;
        ++i;
      } else if (c == '}') {
        fail("single '}}' in the format");
      } else if (c == '{') {
        size_t end = field_end(format, i + 1);
        out += field(format.substr(i + 1, end - i - 1), levels);
        i = end;
      } else {
        out += c;
      }
      heap_.check_bytes(static_cast<int64_t>(out.size()));
    }
    heap_.step_bytes(format.size());
    return out;
  }

 private:
  static size_t field_end(std::string_view format, size_t begin) {
    int open = 1;
    for (size_t i = begin; i < format.size(); ++i) {
      if (format[i] == '{') ++open;
      if (format[i] == '}' && --open == 0) return i;
    }
    fail("a field of the format is not closed");
  }

  std::string field(std::string_view field, int levels) {
    size_t end = 0;
    bool in_brackets = false;
    for (; end < field.size(); ++end) {
      if (field[end] == '[') in_brackets = true;
      if (field[end] == ']') in_brackets = false;
      if (!in_brackets && (field[end] == '!' || field[end] == ':')) break;
    }
    Value value = look_up(field.substr(0, end));
    field.remove_prefix(end);
    if (field.starts_with('!')) {
      std::string shown;
      char conversion = field.size() > 1 ? field[1] : '\0';
      if (conversion != 's' && conversion != 'r' && conversion != 'a') {
        fail("unknown conversion in the format");
      }
      conversion == 's' ? append_text(heap_, shown, value) : append_repr(heap_, shown, value);
      value = heap_.string(std::move(shown));
      field.remove_prefix(2);
      if (!field.empty() && field[0] != ':')
        fail("expected ':' after the conversion of the format");
    }
    std::string spec = field.empty() ? "" : run(field.substr(1), levels - 1);
    if (spec.empty()) return to_text(heap_, value);
    return format_value(heap_, parse_format_spec(heap_, spec), value);
  }

  Value look_up(std::string_view path) {
    size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, end));
    path.remove_prefix(end);
    while (!path.empty()) {
      if (path[0] == '.') {
        size_t size = std::min(path.find_first_of(".[", 1), path.size());
        if (size == 1) fail("empty attribute in the format");
        value =
            interpreter_.get_attribute(value, heap_.string(std::string(path.substr(1, size - 1))));
        path.remove_prefix(size);
      } else if (path[0] == '[') {
        size_t close = path.find(']');
        if (close == std::string::npos || close == 1) fail("a bracket of the format is not closed");
        std::string_view key = path.substr(1, close - 1);
        value = interpreter_.get_item(
            value, is_index(key) ? Value::integer(index_of(key)) : heap_.string(std::string(key)));
        path.remove_prefix(close + 1);
      } else {
        fail("expected '.' or '[' after ']' in the format");
      }
    }
    return value;
  }

  static bool is_index(std::string_view key) {
    return !key.empty() && key.find_first_not_of("0123456789") == std::string::npos;
  }
  static int64_t index_of(std::string_view key) { return *parse_integer(key, 10); }

  Value argument(std::string_view name) {
    if (name.empty() || is_index(name)) {
      bool is_automatic = name.empty();
      if (numbering_ == (is_automatic ? Numbering::kManual : Numbering::kAutomatic)) {
        fail("a format numbers either all or none of its fields");
      }
      numbering_ = is_automatic ? Numbering::kAutomatic : Numbering::kManual;
      int64_t index = is_automatic ? next_++ : index_of(name);
      if (index >= static_cast<int64_t>(arguments_.positional.size())) {
        fail("the format needs argument {}", index);
      }
      return arguments_.positional[static_cast<size_t>(index)];
    }
    for (const auto& [other, value] : arguments_.named) {
      if (other == name) return value;
    }
    fail("the format names '{}', which was not passed", name);
  }

  enum class Numbering { kUnknown, kAutomatic, kManual };
  Interpreter& interpreter_;
  Heap& heap_;
  const Arguments& arguments_;
  Numbering numbering_ = Numbering::kUnknown;
  int64_t next_ = 0;
};

}  // namespace

Value format_percent(Heap& heap, const Value& format, const Value& values) {
  return heap.string(PercentFormat(heap, format, values).run(), format.string().is_markup);
}

Value format_braces(Interpreter& interpreter, const Value& format, const Arguments& arguments) {
  return interpreter.heap().string(BraceFormat(interpreter, arguments).run(format.text(), 2));
}

}  // namespace tokamak::text::jinja
