// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/router.h"

#include <algorithm>

#include "tokamak/base/log.h"
#include "tokamak/server/errors.h"
#include "tokamak/server/http/gzip.h"
#include "tokamak/server/paths.h"
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kModel = "{model}";

/// What {model} stands for if `path` is of the form of `pattern`; empty for a pattern without it.
std::optional<std::string_view> match_path(std::string_view pattern, std::string_view path) {
  const size_t hole = pattern.find(kModel);
  if (hole == std::string_view::npos) {
    return pattern == path ? std::optional(std::string_view()) : std::nullopt;
  }
  const std::string_view before = pattern.substr(0, hole);
  const std::string_view after = pattern.substr(hole + kModel.size());
  if (path.size() <= before.size() + after.size()) return {};
  if (!path.starts_with(before) || !path.ends_with(after)) return {};
  return path.substr(before.size(), path.size() - before.size() - after.size());
}

/// The most literal pattern that the path has the form of; empty if there is none.
std::string_view best_pattern(std::string_view path) {
  std::string_view best;
  for (const Route& route : routes()) {
    if (match_path(route.path, path) && route.path.size() > best.size()) best = route.path;
  }
  return best;
}

/// The target of OPTIONS for the server as a whole (RFC 9110, 9.3.7).
constexpr std::string_view kServer = "*";

std::string allowed_methods(std::string_view pattern) {
  std::string allowed;
  for (const Route& route : routes()) {
    if (route.path != pattern) continue;
    allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
    if (route.method == "GET") allowed += ", HEAD";
  }
  return allowed.empty() ? allowed : allowed + ", OPTIONS";
}

Fault unauthorized() {
  return {401,
          "this server asks for an API key and the request carries none that it knows; send it as "
          "Authorization: Bearer KEY",
          "authentication_error",
          {},
          "invalid_api_key",
          {{"WWW-Authenticate", "Bearer"}}};
}

/// The media type without its parameters, in lower case.
std::string media_type(std::string_view value) {
  std::string type(value.substr(0, value.find(';')));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return type;
}

Fault body_too_large(std::string message) {
  return {413, std::move(message), "invalid_request_error", {}, "body_too_large", {}};
}

bool is_gzip(std::string_view encoding) {
  return same_text(encoding, "gzip") || same_text(encoding, "x-gzip");
}

/// Nothing if the body is now as the handler wants it.
std::optional<Fault> unpack(const Service& service, Exchange& exchange) {
  auto encoding = exchange.request().header("content-encoding");
  if (!encoding || !is_gzip(*encoding)) return {};
  auto body = gunzip(exchange.request().body, service.options.max_body_bytes);
  if (!body.ok()) {
    Fault fault = fault_of(body.error());
    if (body.error().code == ErrorCode::kOverloaded) fault = body_too_large(body.error().message);
    return fault;
  }
  if (exchange.replace_body(std::move(*body))) return {};
  return unavailable("there is no room for this body when it is unpacked");
}

std::optional<Fault> check_media(const HttpRequest& head, Body body) {
  Fault fault{415, "", "invalid_request_error", {}, "unsupported_media_type", {}};
  auto encoding = head.header("content-encoding");
  if (encoding && !same_text(*encoding, "identity") && !is_gzip(*encoding)) {
    fault.message = "Content-Encoding is not supported, gzip is";
    return fault;
  }
  auto value = head.header("content-type");
  if (!value || body == Body::kNone) return {};
  const std::string type = media_type(*value);
  if (type == "application/json" || type.ends_with("+json")) return {};
  if (body == Body::kTensors && type == "application/octet-stream") return {};
  fault.message = "Content-Type must be application/json";
  return fault;
}

std::optional<Fault> check_state(const Service& service, const Route& route) {
  if (route.needs_model && !service.model()) return unavailable("the model is being loaded");
  if (route.generates && service.draining()) {
    return shutting_down();
  }
  return {};
}

std::optional<Fault> check_length(const Service& service, std::optional<uint64_t> length) {
  const auto limit = static_cast<uint64_t>(service.options.max_body_bytes);
  if (!length || *length <= limit) return {};
  return body_too_large(fmt::format("body has {} bytes, the limit is {}", *length, limit));
}

Fault foreign(std::string message) {
  Fault fault{403, std::move(message), "permission_error", {}, "foreign_request", {}};
  return fault;
}

/// GET of a path without /v1 is that of the path with it, if there is one.
std::string_view find_pattern(std::string& path) {
  std::string_view pattern = best_pattern(path);
  if (!pattern.empty()) return pattern;
  auto versioned = with_version(path);
  if (!versioned) return {};
  pattern = best_pattern(*versioned);
  if (!pattern.empty()) path = std::move(*versioned);
  return pattern;
}

/// OPTIONS: what the path takes, and what a page that asks may send. 200 without a body, as other
/// servers of models answer, and not 204.
void tell_options(Service& service, const std::shared_ptr<Exchange>& exchange) {
  HttpResponse response;
  response.content_type.clear();
  if (is_preflight(exchange->request())) {
    response.headers = service.origins.preflight_headers(exchange->request());
  } else {
    const std::string& path = exchange->request().path;
    const std::string allowed =
        path == kServer ? "GET, HEAD, POST, OPTIONS" : allowed_methods(best_pattern(path));
    response.headers = {{"Allow", allowed}};
  }
  exchange->respond(std::move(response));
}

constexpr Route kOptions = {
    "OPTIONS", "", Access::kPublic, Body::kNone, false, false, tell_options};

}  // namespace

std::variant<Match, HttpResponse> admit(const Service& service,
                                        const HttpRequest& head,
                                        std::optional<uint64_t> content_length) {
  RoutePath path = route_path(head.path, service.options.root_path);
  const std::string_view pattern = find_pattern(path.path);
  const Wire wire = wire_of(path.path);
  const std::shared_ptr<const Auth> auth = service.auth();
  if (service.on_loopback && !auth->needed()) {
    if (auto why = service.origins.objection(head)) return error_response(wire, foreign(*why));
  }
  if (is_preflight(head) ||
      (head.method == "OPTIONS" && (path.path == kServer || !pattern.empty()))) {
    return Match{&kOptions, std::move(path.path), {}, -1};
  }
  const std::string_view method = head.method == "HEAD" ? "GET" : std::string_view(head.method);
  const Route* route = nullptr;
  bool is_public = !pattern.empty();
  for (const Route& candidate : routes()) {
    if (candidate.path != pattern) continue;
    if (candidate.method == method) route = &candidate;
    is_public = is_public && candidate.access == Access::kPublic;
  }
  Match match{route, std::move(path.path), std::move(path.model), -1};
  if (auth->needed() && !is_public) {
    auto key = auth->key_of(head);
    if (!key) return error_response(wire, unauthorized());
    match.key = *key;
  }
  if (pattern.empty()) {
    return error_response(wire, not_found("there is nothing at this path", "unknown_path"));
  }
  if (!route) {
    const std::string allowed = allowed_methods(pattern);
    return error_response(wire,
                          {405,
                           fmt::format("this path takes {}", allowed),
                           "invalid_request_error",
                           {},
                           "method_not_allowed",
                           {{"Allow", allowed}}});
  }
  if (auto fault = check_state(service, *route)) return error_response(wire, *fault);
  if (auto fault = check_media(head, route->body)) return error_response(wire, *fault);
  if (auto fault = check_length(service, content_length)) return error_response(wire, *fault);
  if (!match.model.empty()) {
    if (auto known = check_model(match.model, *service.model()); !known.ok()) {
      return error_response(wire, fault_of(known.error()));
    }
  } else {
    match.model = *match_path(pattern, match.path);
  }
  return match;
}

void dispatch(Service& service, const Route& route, const std::shared_ptr<Exchange>& exchange) {
  const Wire wire = wire_of(exchange->request().path);
  std::string what;
  try {
    if (route.body != Body::kNone) {
      if (auto fault = unpack(service, *exchange)) {
        return exchange->respond(error_response(wire, *fault));
      }
    }
    route.handle(service, exchange);
    exchange->drop_body();
    return;
  } catch (const std::exception& e) {
    what = e.what();
  }
  exchange->respond(error_response(wire, fault_of(base::internal_error(what))));
}

}  // namespace tokamak::server
