// SPDX-License-Identifier: Apache-2.0
// GET /health, /ping: 200 when the server takes generations; 503 while it loads or drains or when
// its device is lost, so that a load balancer sends nobody here.
#include "tokamak/base/fields.h"
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {

void health(Service& service, const ExchangePtr& exchange) {
  const State state = service.state();
  HttpResponse response = json_response({{"status", base::enum_name(state)}});
  if (state != State::kReady) {
    response.status = 503;
    response.headers.push_back({"Retry-After", "1"});
  }
  exchange->respond(std::move(response));
}

void ping(Service& service, const ExchangePtr& exchange) {
  health(service, exchange);
}

}  // namespace tokamak::server
