// SPDX-License-Identifier: Apache-2.0
// Filters (`value | name(arguments)`) and tests (`value is name(arguments)`).
#pragma once

#include <string_view>

#include "tokamak/text/jinja_value.h"

namespace tokamak::text::jinja {

class Interpreter;

struct Filter {
  std::string_view name;
  Value (*apply)(Interpreter& interpreter, const Value& value, const Arguments& arguments);
};

struct Test {
  std::string_view name;
  bool (*holds)(Interpreter& interpreter, const Value& value, const Arguments& arguments);
};

/// Null if there is none of that name.
const Filter* find_filter(std::string_view name);
const Test* find_test(std::string_view name);

}  // namespace tokamak::text::jinja
