// SPDX-License-Identifier: Apache-2.0
// JSON from a client, which may mean harm: bounded in depth, values and members, valid UTF-8, no
// key twice in one object, no number beyond a double.
#pragma once

#include <string_view>

#include "tokamak/base/json.h"

namespace tokamak::server {

struct JsonLimits {
  int max_depth = 64;
  int64_t max_values = 1'000'000;
  int64_t max_members = 2048;  ///< Of one object: looking up and adding members is linear in it.
};

/// An object. Errors: invalid (what is wrong and at which byte, or which limit was passed).
Result<Json> parse_object(std::string_view text, const JsonLimits& limits = {});

}  // namespace tokamak::server
