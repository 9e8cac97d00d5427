// SPDX-License-Identifier: Apache-2.0
// GET /load, as vLLM has it: how many answers are under way, for those who spread requests.
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {

void load(Service& service, const ExchangePtr& exchange) {
  const executor::ExecutorStats stats = service.model()->executor->stats();
  exchange->respond(json_response({{"server_load", stats.running + stats.waiting}}));
}

}  // namespace tokamak::server
