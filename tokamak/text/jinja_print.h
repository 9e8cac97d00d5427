// SPDX-License-Identifier: Apache-2.0
// How values look: Python's str() and repr(), and json.dumps().
#pragma once

#include <optional>
#include <string>

#include "tokamak/text/jinja_heap.h"

namespace tokamak::text::jinja {

/// str(value).
void append_text(Heap& heap, std::string& out, const Value& value);
std::string to_text(Heap& heap, const Value& value);
/// repr(value). `depth` counts the values that it lies in.
void append_repr(Heap& heap, std::string& out, const Value& value, int depth = 0);
/// repr of a float: the shortest digits that read back as it.
std::string float_repr(double value);

/// The arguments of json.dumps.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  ///< What one level is indented by.
  std::string item_separator = ", ", key_separator = ": ";
};
void append_json(
    Heap& heap, std::string& out, const Value& value, const JsonStyle& style, int depth = 0);

}  // namespace tokamak::text::jinja
