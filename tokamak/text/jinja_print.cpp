// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_print.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

void append_quoted(Heap& heap, std::string& out, std::string_view text) {
  char quote =
      text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  out += quote;
  for_each_character(text, [&](char32_t c) {
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (is_printable(c)) {
      append_utf8(out, c);
    } else {
      auto code = static_cast<uint32_t>(c);
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
      heap.check_bytes(static_cast<int64_t>(out.size()));
    }
  });
  out += quote;
}

void append_items(Heap& heap, std::string& out, const std::vector<Value>& items, int depth) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i) out += ", ";
    append_repr(heap, out, items[i], depth);
  }
}

void append_json_text(Heap& heap, std::string& out, std::string_view text, bool ensure_ascii) {
  out += '"';
  for_each_character(text, [&](char32_t c) {
    auto code = static_cast<uint32_t>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || (ensure_ascii && c >= 0x7f)) {
      switch (c) {
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        case '\b':
          out += "\\b";
          break;
        case '\f':
          out += "\\f";
          break;
        default:
          out += code < 0x10000
                     ? fmt::format("\\u{:04x}", code)
                     : fmt::format(
                           "\\u{:04x}\\u{:04x}", 0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
      }
      heap.check_bytes(static_cast<int64_t>(out.size()));
    } else {
      append_utf8(out, c);
    }
  });
  out += '"';
}

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

std::string json_key(const Value& key) {
  switch (key.kind()) {
    case Kind::kString:
      return key.text();
    case Kind::kNone:
      return "null";
    case Kind::kBool:
      return key.as_bool() ? "true" : "false";
    case Kind::kInt:
      return fmt::format("{}", key.as_integer());
    case Kind::kWideInt:
      return fmt::format("{}", key.as_wide_integer());
    case Kind::kFloat:
      return json_float(key.as_float());
    default:
      fail("keys of JSON must be strings, numbers, booleans or none, not {}", key.type_name());
  }
}

/// Writes the brackets, separators and line breaks of one JSON array or object.
class JsonContainer {
 public:
  JsonContainer(std::string& out, const JsonStyle& style, int depth)
      : out_(out), style_(style), depth_(depth) {}
  void begin_item() {
    if (!is_first_) out_ += style_.item_separator;
    is_first_ = false;
    break_line(depth_ + 1);
  }
  void end() {
    if (!is_first_) break_line(depth_);
  }

 private:
  void break_line(int level) {
    if (!style_.indent) return;
    out_ += '\n';
    for (int i = 0; i < level; ++i) out_ += *style_.indent;
  }
  std::string& out_;
  const JsonStyle& style_;
  int depth_;
  bool is_first_ = true;
};

void append_json_object(
    Heap& heap, std::string& out, const Dict& dict, const JsonStyle& style, int depth) {
  auto entries = dict.entries();
  if (style.sort_keys) sort_values(heap, entries, false);
  JsonContainer container(out, style, depth);
  out += '{';
  for (const auto& [key, value] : entries) {
    container.begin_item();
    append_json_text(heap, out, json_key(key), style.ensure_ascii);
    out += style.key_separator;
    append_json(heap, out, value, style, depth + 1);
  }
  container.end();
  out += '}';
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  std::string out;
  if (text[0] == '-') {
    out += '-';
    text.remove_prefix(1);
  }
  size_t e = text.find('e');
  int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  std::string digits(text.substr(0, 1));
  if (e > 2) digits += text.substr(2, e - 2);
  auto count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1) {
    return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  }
  auto whole = static_cast<size_t>(exponent + 1);
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

void append_repr(Heap& heap, std::string& out, const Value& value, int depth) {
  heap.step();
  heap.check_depth(depth);
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      out += "Undefined";
      break;
    case Kind::kNone:
      out += "None";
      break;
    case Kind::kBool:
      out += value.as_bool() ? "True" : "False";
      break;
    case Kind::kInt:
      out += fmt::format("{}", value.as_integer());
      break;
    case Kind::kWideInt:
      out += fmt::format("{}", value.as_wide_integer());
      break;
    case Kind::kFloat:
      out += float_repr(value.as_float());
      break;
    case Kind::kString:
      heap.step_characters(value.text().size());
      if (value.string().is_markup) out += "Markup(";
      append_quoted(heap, out, value.text());
      if (value.string().is_markup) out += ')';
      break;
    case Kind::kList:
      out += '[';
      append_items(heap, out, value.items(), depth + 1);
      out += ']';
      break;
    case Kind::kTuple:
      out += '(';
      append_items(heap, out, value.items(), depth + 1);
      out += value.items().size() == 1 ? ",)" : ")";
      break;
    case Kind::kDict: {
      out += '{';
      bool is_first = true;
      for (const auto& [key, element] : value.dict().entries()) {
        if (!is_first) out += ", ";
        is_first = false;
        append_repr(heap, out, key, depth + 1);
        out += ": ";
        append_repr(heap, out, element, depth + 1);
      }
      out += '}';
      break;
    }
    case Kind::kObject:
      value.object().append_repr(heap, out, depth);
      break;
  }
  heap.check_bytes(static_cast<int64_t>(out.size()));
}

void append_text(Heap& heap, std::string& out, const Value& value) {
  if (value.is_string()) {
    heap.step_bytes(value.text().size());
    heap.check_bytes(static_cast<int64_t>(out.size() + value.text().size()));
    out += value.text();
  } else if (!value.is_undefined()) {
    append_repr(heap, out, value);
  }
}

std::string to_text(Heap& heap, const Value& value) {
  std::string out;
  append_text(heap, out, value);
  return out;
}

void append_json(
    Heap& heap, std::string& out, const Value& value, const JsonStyle& style, int depth) {
  heap.step();
  heap.check_depth(depth);
  switch (value.kind()) {
    case Kind::kNone:
      out += "null";
      break;
    case Kind::kBool:
      out += value.as_bool() ? "true" : "false";
      break;
    case Kind::kFloat:
      out += json_float(value.as_float());
      break;
    case Kind::kString:
      heap.step_characters(value.text().size());
      append_json_text(heap, out, value.text(), style.ensure_ascii);
      break;
    case Kind::kList:
    case Kind::kTuple: {
      JsonContainer container(out, style, depth);
      out += '[';
      for (const Value& item : value.items()) {
        container.begin_item();
        append_json(heap, out, item, style, depth + 1);
      }
      container.end();
      out += ']';
      break;
    }
    case Kind::kDict:
      append_json_object(heap, out, value.dict(), style, depth);
      break;
    case Kind::kInt:
    case Kind::kWideInt:
      append_repr(heap, out, value, depth);
      break;
    default:
      fail("a value of type {} cannot be written as JSON", value.type_name());
  }
  heap.check_bytes(static_cast<int64_t>(out.size()));
}

}  // namespace tokamak::text::jinja
