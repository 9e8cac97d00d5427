// SPDX-License-Identifier: Apache-2.0
// Settings of an operator that stand in for those of the model's own generation_config.json.
#pragma once

#include <string_view>

#include "tokamak/server/model.h"

namespace tokamak::server {

/// `settings` is a JSON object of sampling settings with the names that requests have, and
/// max_tokens or max_new_tokens. They count where a request says nothing. Errors: invalid, as a
/// request with them would have.
Result<void> override_defaults(std::string_view settings, Model& model);

}  // namespace tokamak::server
