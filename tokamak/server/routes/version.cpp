// SPDX-License-Identifier: Apache-2.0
// GET /version
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {

void version(Service&, const ExchangePtr& exchange) {
  exchange->respond(json_response({{"version", TOKAMAK_VERSION}}));
}

}  // namespace tokamak::server
