// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/router.h"

#include <algorithm>

#include "tokamak/base/log.h"
#include "tokamak/server/errors.h"

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

std::string allowed_methods(std::string_view pattern) {
  std::string allowed;
  for (const Route& route : routes()) {
    if (route.path != pattern) continue;
    allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
    if (route.method == "GET") allowed += ", HEAD";
  }
  return allowed;
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

std::optional<Fault> check_media(const HttpRequest& head, Body body) {
  Fault fault{415, "", "invalid_request_error", {}, "unsupported_media_type", {}};
  if (auto encoding = head.header("content-encoding"); encoding && *encoding != "identity") {
    fault.message = "Content-Encoding is not supported, send the body as it is";
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
    return unavailable("the server is shutting down");
  }
  return {};
}

std::optional<Fault> check_length(const Service& service, std::optional<uint64_t> length) {
  const auto limit = static_cast<uint64_t>(service.options.max_body_bytes);
  if (!length || *length <= limit) return {};
  return Fault{413,
               fmt::format("body has {} bytes, the limit is {}", *length, limit),
               "invalid_request_error",
               {},
               "body_too_large",
               {}};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::variant<Match, HttpResponse> admit(const Service& service,
                                        const HttpRequest& head,
                                        std::optional<uint64_t> content_length) {
  const Wire wire = wire_of(head.path);
  const std::string_view pattern = best_pattern(head.path);
  const std::string_view method = head.method == "HEAD" ? "GET" : std::string_view(head.method);
  const Route* route = nullptr;
  bool is_public = !pattern.empty();
  for (const Route& candidate : routes()) {
    if (candidate.path != pattern) continue;
    if (candidate.method == method) route = &candidate;
    is_public = is_public && candidate.access == Access::kPublic;
  }
  Match match{route, {}, -1};
  if (service.auth.needed() && !is_public) {
    auto key = service.auth.key_of(head);
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
  match.model = *match_path(pattern, head.path);
  return match;
}

void dispatch(Service& service, const Route& route, const std::shared_ptr<Exchange>& exchange) {
  std::string what;
  try {
    route.handle(service, exchange);
    exchange->drop_body();
    return;
  } catch (const std::exception& e) {
    what = e.what();
  }
  const Wire wire = wire_of(exchange->request().path);
  exchange->respond(error_response(wire, fault_of(base::internal_error(what))));
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
