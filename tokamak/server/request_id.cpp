// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/request_id.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

namespace tokamak::server {

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestId &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return c > ' ' && c < 0x7f && c != '"' && c != '\\';
         });
}

std::string random_request_id() {
  static thread_local std::mt19937_64 random(std::random_device{}());
  return fmt::format("{:016x}{:016x}", random(), random());
}

}  // namespace tokamak::server
