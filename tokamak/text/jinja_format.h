// SPDX-License-Identifier: Apache-2.0
// Python's two ways of formatting text: the % operator and str.format().
#pragma once

#include <string>
#include <string_view>

#include "tokamak/text/jinja_heap.h"

namespace tokamak::text::jinja {

/// How one value is laid out. The fields are those of Python's format specification.
struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  ///< < > ^ =, or \0 for the type's own.
  char sign = '-';    ///< -, + or space.
  bool alternate = false;
  char grouping = '\0';  ///< , or _
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};

/// Fails if the text is no specification.
FormatSpec parse_format_spec(const Heap& heap, std::string_view text);
/// format(value, spec).
std::string format_value(Heap& heap, const FormatSpec& spec, const Value& value);
/// An integer or float as one of the types b c d o x X n e E f F g G %.
std::string format_number(Heap& heap, const FormatSpec& spec, const Value& value);
/// Pads to the width; `prefix` bytes of the text (sign, 0x) stay left of '=' padding.
std::string pad(
    const Heap& heap, const FormatSpec& spec, std::string text, char align, size_t prefix);

/// format.format(*arguments).
Value format_braces(Interpreter& interpreter, const Value& format, const Arguments& arguments);

}  // namespace tokamak::text::jinja
