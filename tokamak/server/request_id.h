// SPDX-License-Identifier: Apache-2.0
// The name of a request, in the X-Request-Id of its answer and in logs.
#pragma once

#include <string>
#include <string_view>

namespace tokamak::server {

inline constexpr size_t kMaxRequestId = 128;

/// 1 to kMaxRequestId visible ASCII characters without quotes and backslashes: it comes back in a
/// header, in JSON and in logs.
bool is_request_id(std::string_view text);
std::string random_request_id();

}  // namespace tokamak::server
