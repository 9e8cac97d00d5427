// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/origins.h"

#include <algorithm>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

namespace tokamak::server {
namespace {

constexpr std::string_view kAll = "*";

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::any_of(list.begin(), list.end(), [text](const std::string& item) {
    return item == kAll || same_text(item, text);
  });
}

bool is_address(std::string_view host) {
  unsigned char ignored[16];
  const std::string text(host);
  return ::inet_pton(AF_INET, text.c_str(), ignored) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), ignored) == 1;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && same_text(text.substr(text.size() - end.size()), end);
}

/// The host in scheme://host[:port]; nothing if `origin` is no such thing, as "null" is not.
std::optional<std::string_view> host_of_origin(std::string_view origin) {
  const size_t mark = origin.find("://");
  if (mark == std::string_view::npos || mark == 0) return {};
  std::string_view host = origin.substr(mark + 3);
  if (host.find_first_of("/?#@ ") != std::string_view::npos) return {};
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    return end == std::string_view::npos ? std::nullopt : std::optional(host.substr(1, end - 1));
  }
  host = host.substr(0, host.find(':'));
  return host.empty() ? std::nullopt : std::optional(host);
}

std::string machine_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace

bool is_loopback(std::string_view host) {
  in_addr v4;
  if (::inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  return host == "::1" || same_text(host, "localhost") || ends_with(host, ".localhost");
}

Origins::Origins(std::vector<std::string> allowed, std::vector<std::string> hosts)
    : allowed_(std::move(allowed)), hosts_(std::move(hosts)) {}

Result<void> Origins::validate(std::string_view origin) {
  if (origin == kAll || host_of_origin(origin)) return {};
  return base::invalid(
      fmt::format("cors_origins has '{}', must be * or of the form scheme://host[:port]", origin),
      "an origin has no path, and no slash at its end");
}

bool Origins::allows(std::string_view origin) const {
  if (contains(allowed_, origin)) return true;
  const auto host = host_of_origin(origin);
  return host && is_loopback(*host);
}

bool Origins::knows_host(std::string_view host) const {
  if (host.find('.') == std::string_view::npos || is_address(host) || is_loopback(host))
    return true;
  return contains(hosts_, host) || same_text(host, machine_name());
}

std::optional<std::string> Origins::objection(const HttpRequest& request) const {
  if (!knows_host(request.host)) {
    return fmt::format(
        "host '{}' is not known to be this machine, for which alone the server listens; "
        "--allowed-host makes it known, and so does an API key",
        request.host.substr(0, 200));
  }
  const auto origin = request.header("origin");
  if (!origin || allows(*origin)) return {};
  const auto host = host_of_origin(*origin);
  if (host && same_text(*host, request.host)) return {};  // A page that comes from here.
  return fmt::format(
      "origin '{}' may not use this server, which has no API key; --cors-origin allows it",
      origin->substr(0, 200));
}

std::vector<Header> Origins::headers_for(const HttpRequest& request) const {
  std::vector<Header> headers = {{"Vary", "Origin"}};
  const auto origin = request.header("origin");
  if (!origin || !allows(*origin)) return headers;
  headers.push_back({"Access-Control-Allow-Origin", std::string(*origin)});
  headers.push_back({"Access-Control-Expose-Headers", "X-Request-Id, Retry-After"});
  return headers;
}

std::vector<Header> Origins::preflight_headers(const HttpRequest& request) const {
  const auto origin = request.header("origin");
  if (!origin || !allows(*origin)) return {};
  std::vector<Header> headers = {{"Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS"},
                                 {"Access-Control-Max-Age", "600"}};
  if (auto asked = request.header("access-control-request-headers")) {
    headers.push_back({"Access-Control-Allow-Headers", std::string(*asked)});
  }
  if (request.header("access-control-request-private-network")) {
    headers.push_back({"Access-Control-Allow-Private-Network", "true"});
  }
  return headers;
}

bool is_preflight(const HttpRequest& request) {
  return request.method == "OPTIONS" && request.header("origin") &&
         request.header("access-control-request-method");
}

}  // namespace tokamak::server
