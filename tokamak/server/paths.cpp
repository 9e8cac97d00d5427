// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/paths.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kVersion = "/v1";
constexpr std::string_view kAzureVersion = "/openai/v1";
constexpr std::string_view kAzureDeployments = "/openai/deployments/";

/// `path` behind `prefix`, if it is below that; "/" if it is that.
std::optional<std::string_view> below(std::string_view path, std::string_view prefix) {
  if (prefix.empty() || !path.starts_with(prefix)) return {};
  path.remove_prefix(prefix.size());
  if (path.empty()) return "/";
  return path.starts_with('/') ? std::optional(path) : std::nullopt;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

RoutePath route_path(std::string_view path, std::string_view root) {
  if (auto rest = below(path, root)) path = *rest;
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (auto rest = below(path, kAzureVersion))
    return {std::string(kVersion) + std::string(*rest), ""};
  if (path.starts_with(kAzureDeployments)) {
    const std::string_view named = path.substr(kAzureDeployments.size());
    for (std::string_view what : {"/chat/completions", "/completions"}) {
      if (named.size() <= what.size() || !named.ends_with(what)) continue;
      return {std::string(kVersion) + std::string(what),
              std::string(named.substr(0, named.size() - what.size()))};
    }
  }
  return {std::string(path), ""};
}

std::optional<std::string> with_version(std::string_view path) {
  if (below(path, kVersion) || below(path, "/v2")) return {};
  return std::string(kVersion) + std::string(path);
}

std::optional<std::string> decode_path(std::string_view target) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (!target.starts_with('/')) return {};
  target = target.substr(0, target.find_first_of("?#"));
  std::string path;
  for (size_t i = 0; i < target.size(); ++i) {
    char c = target[i];
    if (c == '%') {
      const int high = i + 1 < target.size() ? hex_value(target[i + 1]) : -1;
      const int low = i + 2 < target.size() ? hex_value(target[i + 2]) : -1;
      if (high < 0 || low < 0) return {};
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return {};
    path.push_back(c);
  }
  return path;
}

}  // namespace tokamak::server
