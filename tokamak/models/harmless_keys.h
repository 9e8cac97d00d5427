// SPDX-License-Identifier: Apache-2.0
// The keys of published config.json files that say nothing about the numbers of inference.
#pragma once

#include <string_view>

#include "tokamak/base/json_fwd.h"

namespace tokamak::models {

/// The key changes nothing at this value: it is in the table with it, or a feature that is off
/// (null, false, an empty list or object).
bool is_harmless(std::string_view key, const Json& value);

}  // namespace tokamak::models
