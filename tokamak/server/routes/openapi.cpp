// SPDX-License-Identifier: Apache-2.0
// GET /openapi.json
#include "tokamak/server/openapi.h"

#include "tokamak/server/routes/routes.h"

namespace tokamak::server {

void openapi(Service& service, const ExchangePtr& exchange) {
  auto model = service.model();
  exchange->respond(json_response(openapi_of(routes(), model.get())));
}

}  // namespace tokamak::server
