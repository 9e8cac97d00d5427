// SPDX-License-Identifier: Apache-2.0
// Text to numbers and strings: the literals of a template, and Python's int() and float().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tokamak::text::jinja {

struct NumberLiteral {
  size_t size = 0;  ///< Bytes of the literal.
  bool is_float = false;
  int64_t integer = 0;
  double number = 0;
};
/// The number at the start of `text`, which begins with a digit. Fails if it does not fit.
NumberLiteral read_number_literal(std::string_view text, bool allow_float);

/// The content of a string literal with its escapes resolved. Fails on malformed ones.
std::string unescape(std::string_view text);

/// int(text, base), or nothing if the text is no number. Fails if it does not fit 64 bits.
std::optional<int64_t> parse_integer(std::string_view text, int base);
/// float(text), or nothing.
std::optional<double> parse_float(std::string_view text);

}  // namespace tokamak::text::jinja
