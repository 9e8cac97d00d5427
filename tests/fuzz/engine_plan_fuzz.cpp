// SPDX-License-Identifier: Apache-2.0
// Any bytes as an engine's plan: an error, or a plan that written again is read alike. What steps
// and values say of each other is engine_plan_play_fuzz's.
#include <cstdlib>

#include "tokamak/engine/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tokamak;
  auto json = base::parse_json({reinterpret_cast<const char*>(data), size}, "plan");
  if (!json.ok()) return 0;
  auto plan = engine::Plan::from_json(*json);
  if (!plan.ok()) return 0;
  auto again = engine::Plan::from_json(plan->to_json());
  if (!again.ok() || again->to_json() != plan->to_json()) std::abort();
  return 0;
}
