// SPDX-License-Identifier: Apache-2.0
// The status line and headers of an answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokamak/server/exchange.h"

namespace tokamak::server {

/// What every answer begins with, whatever it will be.
inline constexpr std::string_view kAnswerBegins = "HTTP/1.1 ";

struct Framing {
  std::optional<size_t> length;  ///< Of the body, if it is known.
  bool chunked = false;
  bool close = false;  ///< The connection ends with this answer.
};

/// Appends everything up to the empty line. Control characters in header values become spaces, so
/// that nothing that came from outside can begin a header of its own.
/// `more` are headers that the response itself may have, and then its own count.
void append_response_head(std::string& out,
                          const HttpResponse& response,
                          const std::vector<Header>& more,
                          const Framing& framing);

}  // namespace tokamak::server
