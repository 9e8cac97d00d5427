// SPDX-License-Identifier: Apache-2.0
// The forms in which clients write the paths of the routes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tokamak::server {

struct RoutePath {
  std::string path;   ///< As the routes have it.
  std::string model;  ///< Of an Azure deployment's path; else empty.
};

/// Without `root` (a proxy's prefix, "" or "/llm") and slashes at the end; of Azure's
/// /openai/deployments/NAME/chat/completions and /openai/v1/… the form /v1/chat/completions.
RoutePath route_path(std::string_view path, std::string_view root);

/// With /v1 in front, where clients leave it out ("/chat/completions"); nothing if it has it.
std::optional<std::string> with_version(std::string_view path);

/// The path of a request target without its query, percent-decoded. Nothing if it is not a valid
/// path.
std::optional<std::string> decode_path(std::string_view target);

}  // namespace tokamak::server
