// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_format.h"

#include <cmath>
#include <cstdio>

#include "tokamak/text/jinja_print.h"
#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

bool is_align(char c) {
  return c == '<' || c == '>' || c == '^' || c == '=';
}

int64_t read_count(const Heap& heap, std::string_view& text) {
  int64_t count = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    count = count * 10 + (text[0] - '0');
    heap.check_bytes(count);
    text.remove_prefix(1);
  }
  return count;
}

std::string group_digits(const std::string& digits, char separator, size_t size) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i && (digits.size() - i) % size == 0) out += separator;
    out += digits[i];
  }
  return out;
}

struct NumberText {
  bool is_negative = false;
  std::string prefix, digits, rest;  // 0x; what grouping separates; .25e+10
};

NumberText integer_text(const FormatSpec& spec, const Value& value) {
  NumberText text;
  uint64_t magnitude = value.as_wide_integer();
  if (!value.is(Kind::kWideInt) && value.as_integer() < 0) {
    text.is_negative = true;
    magnitude = ~magnitude + 1;
  }
  switch (spec.type) {
    case 'b':
      text.digits = fmt::format("{:b}", magnitude);
      break;
    case 'o':
      text.digits = fmt::format("{:o}", magnitude);
      break;
    case 'x':
      text.digits = fmt::format("{:x}", magnitude);
      break;
    case 'X':
      text.digits = fmt::format("{:X}", magnitude);
      break;
    default:
      text.digits = fmt::format("{}", magnitude);
      return text;
  }
  if (spec.alternate) text.prefix = {'0', spec.type};
  return text;
}

NumberText float_text(const Heap& heap, const FormatSpec& spec, double value) {
  char type = spec.type == '\0' || spec.type == 'n' ? 'g' : spec.type;
  bool is_percent = type == '%';
  if (is_percent) {
    value *= 100;
    type = 'f';
  }
  std::string body;
  if (spec.type == '\0' && spec.precision < 0) {
    body = float_repr(value);
  } else {
    auto precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
    heap.check_bytes(precision);
    // The C library knows no more digits either; the buffer holds the longest of doubles.
    std::string format = fmt::format("%{}.*{}", spec.alternate ? "#" : "", type);
    body.resize(static_cast<size_t>(precision) + 350);
    int size = std::snprintf(body.data(), body.size(), format.c_str(), precision, value);
    body.resize(static_cast<size_t>(size));
    bool is_general = spec.type == '\0';  // Like g, but always with a fraction.
    if (is_general && body.find_first_of(".en") == std::string::npos) body += ".0";
  }
  if (is_percent) body += '%';
  NumberText text;
  text.is_negative = body.starts_with('-');
  if (text.is_negative) body.erase(0, 1);
  size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
  text.digits = body.substr(0, whole);
  text.rest = body.substr(whole);
  return text;
}

}  // namespace

FormatSpec parse_format_spec(const Heap& heap, std::string_view text) {
  FormatSpec spec;
  if (!text.empty()) {
    size_t first = utf8_size(text[0]);
    if (text.size() > first && is_align(text[first])) {
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      text.remove_prefix(first + 1);
    } else if (is_align(text[0])) {
      spec.align = text[0];
      text.remove_prefix(1);
    }
  }
  auto take = [&](std::string_view choices) {
    if (text.empty() || choices.find(text[0]) == std::string::npos) return '\0';
    char found = text[0];
    text.remove_prefix(1);
    return found;
  };
  if (char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != '\0';
  if (take("0") && !spec.align) {
    spec.fill = "0";
    spec.align = '0';  // '=' for numbers, '<' for text.
  }
  spec.width = read_count(heap, text);
  spec.grouping = take(",_");
  if (take(".")) {
    if (text.empty() || text[0] < '0' || text[0] > '9')
      fail("the format has no precision after '.'");
    spec.precision = read_count(heap, text);
  }
  spec.type = take("bcdeEfFgGnosxX%");
  if (!text.empty()) fail("'{}' is not a format", text);
  return spec;
}

std::string pad(
    const Heap& heap, const FormatSpec& spec, std::string text, char align, size_t prefix) {
  auto size = static_cast<int64_t>(count_characters(text));
  if (size >= spec.width) return text;
  int64_t missing = spec.width - size;
  heap.check_bytes(static_cast<int64_t>(text.size()) +
                   missing * static_cast<int64_t>(spec.fill.size()));
  auto fill = [&](int64_t count) {
    std::string out;
    for (int64_t i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  switch (align) {
    case '<':
      return text + fill(missing);
    case '^':
      return fill(missing / 2) + text + fill(missing - missing / 2);
    case '=':
      return text.substr(0, prefix) + fill(missing) + text.substr(prefix);
    default:
      return fill(missing) + text;
  }
}

std::string format_number(Heap& heap, const FormatSpec& spec, const Value& value) {
  static constexpr std::string_view kFloatTypes = "eEfFgG%";
  bool is_float_type = spec.type != '\0' && kFloatTypes.find(spec.type) != std::string::npos;
  NumberText text;
  if (value.is(Kind::kFloat) || is_float_type) {
    if (!is_float_type && spec.type != '\0' && spec.type != 'n') {
      fail("the format '{}' is not for float", spec.type);
    }
    text = float_text(heap, spec, static_cast<double>(value.as_number()));
  } else {
    if (spec.type == 's') fail("the format 's' is not for int");
    if (spec.type == 'c') {
      std::string character;
      int64_t code = value.as_integer();
      if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        fail("{} is not a character", code);
      }
      append_utf8(character, static_cast<char32_t>(code));
      return pad(heap, spec, character, spec.align ? spec.align : '<', 0);
    }
    if (spec.precision >= 0) fail("a format of int has no precision");
    text = integer_text(spec, value);
  }
  std::string prefix = text.is_negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  prefix += text.prefix;
  char align = spec.align == '0' ? '=' : spec.align ? spec.align : '>';
  if (spec.grouping) {
    bool is_binary = spec.type == 'b' || spec.type == 'o' || spec.type == 'x' || spec.type == 'X';
    if (is_binary && spec.grouping == ',') fail("the format '{}' has no ','", spec.type);
    size_t group = is_binary ? 4 : 3;
    std::string grouped = group_digits(text.digits, spec.grouping, group);
    // Zeros of the padding are grouped, too.
    while (spec.fill == "0" && align == '=' &&
           static_cast<int64_t>(prefix.size() + grouped.size() + text.rest.size()) < spec.width) {
      text.digits.insert(0, "0");
      grouped = group_digits(text.digits, spec.grouping, group);
      heap.step_bytes(grouped.size());
    }
    text.digits = std::move(grouped);
  }
  return pad(heap, spec, prefix + text.digits + text.rest, align, prefix.size());
}

std::string format_value(Heap& heap, const FormatSpec& spec, const Value& value) {
  if (value.is_number()) return format_number(heap, spec, value);
  if (!value.is_string()) fail("values of type {} have no format", value.type_name());
  if (spec.type != '\0' && spec.type != 's') fail("the format '{}' is not for str", spec.type);
  if (spec.align == '=' || spec.sign != '-' || spec.alternate || spec.grouping) {
    fail("signs, '=', '#' and grouping are not for str");
  }
  std::string text = value.text();
  if (spec.precision >= 0) {
    text.resize(byte_of_character(value.string(), static_cast<size_t>(spec.precision)));
  }
  char align = spec.align == '0' || spec.align == '\0' ? '<' : spec.align;
  return pad(heap, spec, std::move(text), align, 0);
}

}  // namespace tokamak::text::jinja
