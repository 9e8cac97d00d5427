// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/options.h"

#include <limits>

#include "tokamak/server/origins.h"

namespace tokamak::server {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

template <typename T>
Result<void> in_range(std::string_view name, T value, T low, T high) {
  if (value >= low && value <= high) return {};
  return base::invalid(fmt::format("{} is {}, must be between {} and {}", name, value, low, high));
}

Result<void> validate_key(const std::string& key, size_t index) {
  if (key.empty()) return base::invalid(fmt::format("api_keys[{}] is empty", index));
  for (char c : key) {
    if (c <= ' ' || c == 0x7f) {
      return base::invalid(fmt::format("api_keys[{}] holds a space or a control character", index));
    }
  }
  return {};
}

}  // namespace

Result<void> validate_keys(const std::vector<std::string>& api_keys) {
  for (size_t i = 0; i < api_keys.size(); ++i) TKM_RETURN_IF_ERROR(validate_key(api_keys[i], i));
  return {};
}

namespace {

Result<void> validate_root(std::string_view root) {
  if (root.empty() || (root.starts_with('/') && !root.ends_with('/'))) return {};
  return base::invalid(
      fmt::format("root_path is '{}', must begin with a slash and not end with one", root));
}

}  // namespace

int64_t ServerOptions::body_budget_bytes() const {
  return max_body_bytes_total > 0 ? max_body_bytes_total : 32 * max_body_bytes;
}

Result<void> ServerOptions::validate() const {
  if (host.empty()) {
    return base::invalid("host is empty, must be an address or a name",
                         "leave --host out to be reached from this machine alone");
  }
  TKM_RETURN_IF_ERROR(in_range<int64_t>("port", port, 0, 65535));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("http_threads", http_threads, 1, 256));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("request_threads", request_threads, 1, 256));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("max_connections", max_connections, 1, kMost));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("max_header_bytes", max_header_bytes, 1024, 1 << 20));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("max_body_bytes", max_body_bytes, 1, 1 << 30));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("max_request_queue", max_request_queue, 1, kMost));
  if (max_body_bytes_total != 0) {
    TKM_RETURN_IF_ERROR(in_range<int64_t>(
        "max_body_bytes_total", max_body_bytes_total, 2 * max_body_bytes, int64_t{1} << 50));
  }
  TKM_RETURN_IF_ERROR(in_range<int64_t>("max_choices", max_choices, 1, kMost));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("max_answer_bytes", max_answer_bytes, 1, kMost));
  const std::pair<std::string_view, double> timeouts[] = {
      {"header_timeout_seconds", header_timeout_seconds},
      {"body_timeout_seconds", body_timeout_seconds},
      {"handler_timeout_seconds", handler_timeout_seconds},
      {"idle_timeout_seconds", idle_timeout_seconds},
      {"write_timeout_seconds", write_timeout_seconds}};
  for (auto [name, seconds] : timeouts) {
    TKM_RETURN_IF_ERROR(in_range(name, seconds, 0.01, 86'400.0));
  }
  TKM_RETURN_IF_ERROR(validate_root(root_path));
  for (const std::string& origin : cors_origins) TKM_RETURN_IF_ERROR(Origins::validate(origin));
  TKM_RETURN_IF_ERROR(validate_keys(api_keys));
  if (tls_certificate.empty() != tls_key.empty()) {
    return base::invalid("tls_certificate and tls_key belong together, only one is given");
  }
  return {};
}

}  // namespace tokamak::server
