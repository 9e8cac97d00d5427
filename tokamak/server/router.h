// SPDX-License-Identifier: Apache-2.0
// From a request's head to the route that answers it, or to the error that refuses it before its
// body is read.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "tokamak/server/service.h"

namespace tokamak::server {

enum class Access { kPublic, kKey };

/// Which body a route takes.
enum class Body {
  kNone,
  kJson,
  kTensors,  ///< JSON, or KServe's binary extension of it.
};

struct Route {
  std::string_view method;
  std::string_view path;  ///< {model} stands for one or more characters, slashes too.
  Access access = Access::kKey;
  Body body = Body::kNone;
  bool needs_model = false;  ///< 503 while it loads.
  bool generates = false;    ///< 503 while the server drains.
  void (*handle)(Service&, const std::shared_ptr<Exchange>&) = nullptr;
};

/// All routes of the server (routes.cpp).
std::span<const Route> routes();

struct Match {
  const Route* route = nullptr;
  std::string path;  ///< As the routes have it.
  std::string model;
  int key = -1;
};

/// Decides on the head of a request, in this order: 403 for what a page of elsewhere sends to a
/// server of this machine, 401, 404, 405 with Allow, 503, 415, 413, 404 for a deployment that is no
/// model. OPTIONS has a route of its own.
/// `content_length` is what the head announces, if it does.
std::variant<Match, HttpResponse> admit(const Service& service,
                                        const HttpRequest& head,
                                        std::optional<uint64_t> content_length);

/// Unpacks the body and calls the route's handler; an exception becomes a 500.
void dispatch(Service& service, const Route& route, const std::shared_ptr<Exchange>& exchange);
}  // namespace tokamak::server
