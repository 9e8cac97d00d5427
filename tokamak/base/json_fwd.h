// SPDX-License-Identifier: Apache-2.0
// The name of JSON's type, for headers that hand it on; who opens a value includes json.h.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace tokamak::base {

/// Keys keep the order of the text.
using Json = nlohmann::ordered_json;

}  // namespace tokamak::base

namespace tokamak {
using base::Json;
}
