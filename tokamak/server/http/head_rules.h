// SPDX-License-Identifier: Apache-2.0
// What RFC 9112 demands of a request's head and the parser leaves open: which framing its body may
// have, and whom it is for. Whatever two servers could read differently is refused, since behind
// a proxy the difference becomes a request of its own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/server/errors.h"
#include "tokamak/server/exchange.h"

namespace tokamak::server {

/// `version` is 10 or 11. Nothing if the body is framed by a length, by `chunked` alone, or not
/// there; 501 for a coding that is not known here, 400 for everything else (RFC 9112, 6.1 and 6.3).
std::optional<Fault> check_framing(const std::vector<Header>& headers, int version);

/// HTTP/1.1 asks for one Host, HTTP/1.0 allows one; its value is `host[:port]` (RFC 9112, 3.2).
std::optional<Fault> check_host(const std::vector<Header>& headers, int version);

/// The name or address that the request is for, in lower case, without port and brackets: that of
/// an absolute target, else of Host. Nothing if it is not `host[:port]`. Empty if there is none.
std::optional<std::string> host_of(std::string_view target, const std::vector<Header>& headers);

}  // namespace tokamak::server
