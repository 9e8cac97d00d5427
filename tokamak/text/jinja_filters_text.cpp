// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_filter_tables.h"
#include "tokamak/text/jinja_format.h"
#include "tokamak/text/jinja_methods.h"
#include "tokamak/text/jinja_operators.h"
#include "tokamak/text/jinja_print.h"
#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

// The value if it is text, else its text.
Value soft_text(Interpreter& interpreter, const Value& value) {
  if (value.is_string()) return value;
  return interpreter.heap().string(to_text(interpreter.heap(), value));
}

Value call_text_method(Interpreter& interpreter,
                       std::string_view method,
                       const Value& value,
                       const Arguments& arguments) {
  return find_string_method(method)->body(interpreter, soft_text(interpreter, value), arguments);
}

Value string_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("string", arguments, {});
  return soft_text(interpreter, value);
}

Value upper(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return call_text_method(interpreter, "upper", value, arguments);
}

Value lower(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return call_text_method(interpreter, "lower", value, arguments);
}

Value capitalize_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return call_text_method(interpreter, "capitalize", value, arguments);
}

Value trim(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  Arguments chars;
  chars.positional = bind_arguments("trim", arguments, {"chars"});
  return call_text_method(interpreter, "strip", value, chars);
}

Value center(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  Value width = bind_arguments("center", arguments, {"width"})[0];
  Arguments given;
  given.positional.push_back(width.is_missing() ? Value::integer(80) : width);
  return call_text_method(interpreter, "center", value, given);
}

// Words begin after spaces, '-' and opening brackets.
Value title(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("title", arguments, {});
  Value source = soft_text(interpreter, value);
  interpreter.heap().step_characters(source.text().size());
  auto is_boundary = [](char32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(c);
  };
  std::string out;
  std::string_view text = source.text();
  while (!text.empty()) {
    CodePoint first = decode_utf8(text.data());
    size_t end = first.size;
    while (end < text.size() && !is_boundary(first.value)) {
      CodePoint c = decode_utf8(text.data() + end);
      if (is_boundary(c.value)) break;
      end += c.size;
    }
    out += to_upper(text.substr(0, first.size));
    out += to_lower(text.substr(first.size, end - first.size));
    text.remove_prefix(end);
  }
  return interpreter.heap().string(std::move(out));
}

Value replace(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("replace", arguments, {"old", "new", "count"}, 2);
  Heap& heap = interpreter.heap();
  std::string text = to_text(heap, value);
  heap.step_bytes(text.size());
  bool is_limited = !bound[2].is_missing() && !bound[2].is_none();
  return heap.string(replace_text(heap,
                                  text,
                                  to_text(heap, bound[0]),
                                  to_text(heap, bound[1]),
                                  is_limited ? require_integer(bound[2], "replace") : -1));
}

Value escape(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("escape", arguments, {});
  Heap& heap = interpreter.heap();
  if (value.is_string() && value.string().is_markup) return value;
  return heap.string(escape_html(heap, to_text(heap, value)), true);
}

Value force_escape(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("forceescape", arguments, {});
  Heap& heap = interpreter.heap();
  return heap.string(escape_html(heap, to_text(heap, value)), true);
}

Value safe(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("safe", arguments, {});
  return interpreter.heap().string(to_text(interpreter.heap(), value), true);
}

Value indent(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("indent", arguments, {"width", "first", "blank"});
  if (value.is_undefined()) fail("{}", value.undefined_reason());
  if (!value.is_string()) fail("indent: expected text, found {}", value.type_name());
  Heap& heap = interpreter.heap();
  std::string indentation;
  if (bound[0].is_string()) {
    indentation = bound[0].text();
  } else {
    int64_t width = bound[0].is_missing() ? 4 : require_integer(bound[0], "indent");
    heap.check_bytes(width);
    indentation.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  bool indents_blank = truth(bound[2]);
  heap.step_characters(value.text().size());
  std::string text = value.text() + "\n";  // So that a line end at the end begins a last line.
  std::string out = truth(bound[1]) ? indentation : "";
  bool is_first = true;
  for (std::string_view line : split_lines(text, false)) {
    if (!is_first) {
      out += '\n';
      if (indents_blank || !line.empty()) out += indentation;
    }
    is_first = false;
    out += line;
    heap.check_bytes(static_cast<int64_t>(out.size()));
  }
  return heap.string(std::move(out), value.string().is_markup);
}

Value truncate(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("truncate", arguments, {"length", "killwords", "end", "leeway"});
  if (!bound[2].is_missing() && !bound[2].is_string()) fail("truncate: 'end' must be text");
  std::string ending = bound[2].is_missing() ? "..." : bound[2].text();
  auto ending_size = static_cast<int64_t>(count_characters(ending));
  int64_t length = bound[0].is_missing() ? 255 : require_integer(bound[0], "truncate");
  bool has_leeway = !bound[3].is_missing() && !bound[3].is_none();
  int64_t leeway = has_leeway ? require_integer(bound[3], "truncate") : 5;
  if (length < ending_size) fail("truncate: length {} is shorter than the end", length);
  if (leeway < 0) fail("truncate: leeway {} is negative", leeway);
  if (jinja::length(value) - leeway <= length) return value;  // Whatever it is.
  if (!value.is_string()) fail("truncate: expected text, found {}", value.type_name());
  const String& s = value.string();
  std::string text =
      s.text.substr(0, byte_of_character(s, static_cast<size_t>(length - ending_size)));
  if (!truth(bound[1])) text = text.substr(0, text.rfind(' '));
  return interpreter.heap().string(text + ending, s.is_markup);
}

Value word_count(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("wordcount", arguments, {});
  int64_t count = 0;
  bool in_word = false;
  Value source = soft_text(interpreter, value);
  interpreter.heap().step_characters(source.text().size());
  for_each_character(source.text(), [&](char32_t c) {
    count += !in_word && is_word(c);
    in_word = is_word(c);
  });
  return Value::integer(count);
}

Value format(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  Heap& heap = interpreter.heap();
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    fail("format takes either positional or keyword arguments");
  }
  Value values;
  if (arguments.named.empty()) {
    values = heap.tuple(arguments.positional);
  } else {
    auto dict = std::make_shared<Dict>();
    for (const auto& [name, item] : arguments.named) dict->set(heap, heap.string(name), item);
    values = heap.dict(std::move(dict));
  }
  return format_percent(heap, soft_text(interpreter, value), values);
}

std::string quote_url(Heap& heap, const Value& value, bool for_query) {
  std::string out, text = to_text(heap, value);
  heap.step_characters(text.size());
  for (char c : text) {
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !for_query);
    if (is_plain) {
      out += c;
    } else if (c == ' ' && for_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<uint8_t>(c));
    }
    heap.check_bytes(static_cast<int64_t>(out.size()));
  }
  return out;
}

Value url_encode(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("urlencode", arguments, {});
  Heap& heap = interpreter.heap();
  if (value.is_string() || !is_iterable(value)) {
    return heap.string(quote_url(heap, value, false));
  }
  Value items = value;
  if (value.is_dict()) {
    items = Value::of(heap.make<DictView>(value.depth() + 1, value, DictPart::kItems));
  }
  std::string out;
  for_each(heap, items, [&](const Value& item) {
    std::vector<Value> pair = collect(heap, item);
    if (pair.size() != 2) fail("urlencode: expected pairs of key and value");
    if (!out.empty()) out += '&';
    out += quote_url(heap, pair[0], true) + "=" + quote_url(heap, pair[1], true);
    heap.check_bytes(static_cast<int64_t>(out.size()));
  });
  return heap.string(std::move(out));
}

Value to_json(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound =
      bind_arguments("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  Heap& heap = interpreter.heap();
  JsonStyle style;
  style.ensure_ascii = truth(bound[0]);
  style.sort_keys = truth(bound[3]);
  if (bound[1].is_string()) {
    style.indent = bound[1].text();
  } else if (!bound[1].is_missing() && !bound[1].is_none()) {
    int64_t width = require_integer(bound[1], "tojson");
    heap.check_bytes(width);
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  if (style.indent) style.item_separator = ",";
  if (!bound[2].is_missing() && !bound[2].is_none()) {
    std::vector<Value> separators = collect(heap, bound[2]);
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      fail("tojson: separators must be two strings");
    }
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  std::string out;
  append_json(heap, out, value, style);
  return heap.string(std::move(out));
}

constexpr Filter kFilters[] = {
    {"capitalize", capitalize_filter},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"forceescape", force_escape},
    {"format", format},
    {"indent", indent},
    {"lower", lower},
    {"replace", replace},
    {"safe", safe},
    {"string", string_filter},
    {"title", title},
    {"tojson", to_json},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", upper},
    {"urlencode", url_encode},
    {"wordcount", word_count},
};

}  // namespace

std::span<const Filter> text_filters() {
  return kFilters;
}

}  // namespace tokamak::text::jinja
