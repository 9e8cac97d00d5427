// SPDX-License-Identifier: Apache-2.0
// Bodies of requests that come with Content-Encoding: gzip (RFC 1952).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tokamak/base/result.h"

namespace tokamak::server {

/// Stops as soon as there would be more than `max_bytes`, however few bytes that took to say.
/// Errors: invalid (it is not gzip, is cut off, or its checksum is another), overloaded (more than
/// max_bytes).
Result<std::string> gunzip(std::string_view bytes, int64_t max_bytes);

}  // namespace tokamak::server
