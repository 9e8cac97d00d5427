// SPDX-License-Identifier: Apache-2.0
// How failures look on the wire: OpenAI's envelope under every path but /v2, KServe's there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokamak/base/json_fwd.h"
#include "tokamak/base/result.h"
#include "tokamak/server/exchange.h"

namespace tokamak::server {

enum class Wire { kOpenAi, kKServe };
Wire wire_of(std::string_view path);

/// A failure as the client learns of it.
struct Fault {
  int status = 500;
  std::string message;
  std::string type = "server_error";
  std::optional<std::string> param;  ///< The field at fault.
  std::optional<std::string> code;   ///< For programs: "model_not_found", …
  std::vector<Header> headers;
};

/// The one mapping of error codes to HTTP. What the client did not cause is told without details:
/// those go to the log. `overloaded` becomes 429 with Retry-After.
Fault fault_of(const Error& error);

Fault bad_request(std::string message, std::optional<std::string> param = {});
Fault not_found(std::string message, std::optional<std::string> code = {});
/// 503 with Retry-After: the server loads its model, or drains.
Fault unavailable(std::string message);
Fault shutting_down();

/// {"error": {"message", "type", "param", "code"}}, or {"error": "message"}.
Json error_json(Wire wire, const Fault& fault);
HttpResponse error_response(Wire wire, const Fault& fault);
HttpResponse json_response(const Json& body);
/// UTF-8, whatever is in the strings.
std::string json_text(const Json& body);

}  // namespace tokamak::server
