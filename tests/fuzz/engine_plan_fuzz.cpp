// SPDX-License-Identifier: Apache-2.0
// Any bytes as an engine's plan: an error, or a plan whose memory can be planned.
#include "tokamak/engine/memory_plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tokamak;
  auto json = base::parse_json({reinterpret_cast<const char*>(data), size}, "plan");
  if (!json.ok()) return 0;
  auto plan = engine::Plan::from_json(*json);
  if (plan.ok())
    engine::plan_memory(
        *plan, {.max_tokens = 4, .max_rows = 2, .max_sequences = 2, .num_pages = 2}, 64);
  return 0;
}
