// SPDX-License-Identifier: Apache-2.0
// JSON from a client, which may mean harm: bounded in depth, values and members, valid UTF-8, no
// key twice in one object, no number beyond a double.
#pragma once

#include <string_view>

#include "tokamak/base/json_builder.h"

namespace tokamak::server {

/// Few members, as to look one up is linear in them.
inline constexpr base::JsonLimits kBodyLimits{
    .max_depth = 64, .max_values = 1'000'000, .max_members = 2048, .members_once = true};

/// An object. Errors: invalid (what is wrong and at which byte, or which limit was passed).
Result<Json> parse_object(std::string_view text, const base::JsonLimits& limits = kBodyLimits);

}  // namespace tokamak::server
