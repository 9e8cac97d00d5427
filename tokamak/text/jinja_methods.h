// SPDX-License-Identifier: Apache-2.0
// The methods of Python's str, list, tuple, dict, int and float that a template may call: those
// that change nothing.
#pragma once

#include <string_view>

#include "tokamak/text/jinja_object.h"

namespace tokamak::text::jinja {

struct Method {
  std::string_view name;
  Function::Body body;
};

/// Null if values of that kind have no such method.
const Method* find_method(const Value& value, std::string_view name);
/// Whether Python has the method, but it would modify the value.
bool is_mutating_method(const Value& value, std::string_view name);

const Method* find_string_method(std::string_view name);

}  // namespace tokamak::text::jinja
