// SPDX-License-Identifier: Apache-2.0
// GET /metrics: Prometheus' text format.
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {

void metrics(Service& service, const ExchangePtr& exchange) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  if (auto model = service.model()) {
    const executor::ExecutorStats stats = model->executor->stats();
    response.body = service.metrics.text(&stats);
  } else {
    response.body = service.metrics.text(nullptr);
  }
  exchange->respond(std::move(response));
}

}  // namespace tokamak::server
