// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_literal.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "tokamak/text/jinja_string.h"
#include "tokamak/text/jinja_value.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
}

// Bytes of a run of digits in which single underscores may stand between them, or 0.
size_t digits_size(std::string_view text, int base, bool underscore_first = false) {
  size_t size = 0;
  while (size < text.size()) {
    size_t digit = size + (text[size] == '_' && (size > 0 || underscore_first) ? 1 : 0);
    if (digit >= text.size() || digit_value(text[digit]) >= base) break;
    size = digit + 1;
  }
  return size;
}

std::string without_underscores(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c != '_') out += c;
  }
  return out;
}

int64_t integer_of(std::string_view digits, int base, bool negative) {
  std::string text = (negative ? "-" : "") + without_underscores(digits);
  int64_t value = 0;
  auto end = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (end.ec != std::errc{}) fail("the integer {} does not fit 64 bits", text.substr(0, 40));
  return value;
}

double float_of(std::string_view text) {
  std::string digits = without_underscores(text);
  double value = 0;
  auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end.ec == std::errc::result_out_of_range) {
    // Too large or too small: the sign of the exponent tells.
    size_t e = digits.find_first_of("eE");
    bool tiny = e != std::string::npos && digits[e + 1] == '-';
    if (e == std::string::npos) tiny = digits.starts_with("0.");
    return tiny ? 0.0 : std::numeric_limits<double>::infinity();
  }
  return value;
}

// Bytes of digits[.digits][e[sign]digits]; `is_float` tells whether there was more than digits.
size_t float_size(std::string_view text, bool& is_float) {
  size_t size = digits_size(text, 10);
  is_float = false;
  if (size == 0) return 0;
  if (size < text.size() && text[size] == '.') {
    if (size_t fraction = digits_size(text.substr(size + 1), 10)) {
      size += 1 + fraction;
      is_float = true;
    }
  }
  if (size < text.size() && (text[size] | 0x20) == 'e') {
    size_t sign =
        size + 1 < text.size() && (text[size + 1] == '+' || text[size + 1] == '-') ? 1 : 0;
    if (size_t exponent = digits_size(text.substr(size + 1 + sign), 10)) {
      size += 1 + sign + exponent;
      is_float = true;
    }
  }
  return size;
}

int base_of_prefix(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 10;
  char mark = static_cast<char>(text[1] | 0x20);
  return mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
}

char32_t read_code(std::string_view text, size_t& at, size_t digits, int base) {
  char32_t code = 0;
  size_t count = 0;
  for (; count < digits && at < text.size() && digit_value(text[at]) < base; ++count) {
    code = code * static_cast<char32_t>(base) + static_cast<char32_t>(digit_value(text[at++]));
  }
  if (base == 16 && count < digits) fail("the escape needs {} hexadecimal digits", digits);
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
    fail("the escape {:x} is not a character", static_cast<uint32_t>(code));
  }
  return code;
}

}  // namespace

NumberLiteral read_number_literal(std::string_view text, bool allow_float) {
  NumberLiteral literal;
  bool is_float = false;
  if (size_t size = float_size(text, is_float); allow_float && is_float) {
    literal.size = size;
    literal.is_float = true;
    literal.number = float_of(text.substr(0, size));
    return literal;
  }
  int base = base_of_prefix(text);
  if (base != 10) {
    if (size_t size = digits_size(text.substr(2), base, true)) {
      literal.size = 2 + size;
      literal.integer = integer_of(text.substr(2, size), base, false);
      return literal;
    }
  }
  size_t size = digits_size(text, text[0] == '0' ? 1 : 10);  // A number does not begin with zeros.
  literal.size = size;
  literal.integer = integer_of(text.substr(0, size), 10, false);
  return literal;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '\\') {
      out += text[i++];
      continue;
    }
    if (++i == text.size()) fail("the string ends within an escape");
    char c = text[i++];
    static constexpr std::string_view kNames = "\\'\"abfnrtv";
    static constexpr std::string_view kCharacters = "\\'\"\a\b\f\n\r\t\v";
    if (size_t known = kNames.find(c); known != std::string::npos) {
      out += kCharacters[known];
    } else if (c >= '0' && c <= '7') {
      append_utf8(out, read_code(text, --i, 3, 8));
    } else if (c == 'x' || c == 'u' || c == 'U') {
      append_utf8(out, read_code(text, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16));
    } else if (c == 'N') {
      throw Failure(ErrorCode::kUnsupported,
                    "escapes of characters by name (\\N) are not supported");
    } else if (c != '\n') {  // An escaped line end is left out; unknown escapes stay.
      out += '\\';
      out += c;
    }
  }
  return out;
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
  text = strip(text);
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int prefix = base_of_prefix(text);
  bool has_prefix = prefix != 10 && (base == 0 || base == prefix);
  if (base == 0) base = prefix;
  if (has_prefix) text.remove_prefix(2);
  if (text.empty() || digits_size(text, base, has_prefix) != text.size()) return {};
  return integer_of(text, base, negative);
}

std::optional<double> parse_float(std::string_view text) {
  text = strip(text);
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::string lower = to_lower(text.substr(0, 16));
  double sign = negative ? -1 : 1;
  if (lower == "inf" || lower == "infinity") return sign * std::numeric_limits<double>::infinity();
  if (lower == "nan") return std::numeric_limits<double>::quiet_NaN();
  // Python also takes ".5" and "5.", which are not literals of a template.
  std::string padded = (text.starts_with('.') ? "0" : "") + std::string(text);
  size_t dot = padded.find('.');
  if (text.size() > 1 && dot != std::string::npos &&
      (dot + 1 == padded.size() || (padded[dot + 1] | 0x20) == 'e')) {
    padded.insert(dot + 1, "0");
  }
  bool is_float = false;
  if (padded.empty() || float_size(padded, is_float) != padded.size()) return {};
  return sign * float_of(padded);
}

}  // namespace tokamak::text::jinja
