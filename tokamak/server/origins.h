// SPDX-License-Identifier: Apache-2.0
// Which web pages may use the server. A browser sends, for whatever page someone has open, requests
// to servers on that person's machine; on a loopback address without API keys nothing else tells
// them from that person's own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/result.h"
#include "tokamak/server/exchange.h"

namespace tokamak::server {

/// Whether `host`, without a port, is a loopback address or a name of this machine for itself.
bool is_loopback(std::string_view host);

class Origins {
 public:
  /// `allowed`: origins ("https://chat.example.com"), or "*" for all; pages of this machine
  /// (http://localhost:3000) are always allowed. `hosts`: names under which this machine is known,
  /// or "*" for all.
  Origins(std::vector<std::string> allowed, std::vector<std::string> hosts);

  /// Errors: invalid, if it is not `*` or scheme://host[:port].
  static Result<void> validate(std::string_view origin);

  /// Whether pages of `origin` may read answers.
  bool allows(std::string_view origin) const;
  /// Addresses, names without a dot, and those that were given. An attacker's own domain, which he
  /// can point at this machine, is none of them.
  bool knows_host(std::string_view host) const;
  /// Why a server that only this machine's people should reach refuses the request: it comes from
  /// a page of elsewhere (its Origin), or is meant for a name of elsewhere (its Host).
  std::optional<std::string> objection(const HttpRequest& request) const;

  /// The headers that let the page read an answer to this request, if it may.
  std::vector<Header> headers_for(const HttpRequest& request) const;
  /// And those that answer its question before it sends one (CORS preflight).
  std::vector<Header> preflight_headers(const HttpRequest& request) const;

 private:
  const std::vector<std::string> allowed_, hosts_;
};

/// A browser asks whether a page may send a request.
bool is_preflight(const HttpRequest& request);

}  // namespace tokamak::server
