// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/memory_plan.h"

#include <gmock/gmock.h>

namespace tokamak::engine {
namespace {

Plan small_plan() {
  Plan plan;
  plan.kv = {.num_layers = 3, .num_kv_heads = 2, .head_dim = 16, .dtype = DType::kBF16};
  return plan;
}

std::vector<std::string> names(const MemoryPlan& memory) {
  std::vector<std::string> out;
  for (const ByteRow& row : memory.table) out.push_back(row.name);
  return out;
}

TEST(MemoryPlan, a_device_has_the_tokens_of_its_pages_and_what_sampling_takes) {
  const StepLimits limits{
      .max_tokens = 8, .max_rows = 4, .max_sequences = 4, .num_pages = 10, .max_seq_pages = 5};
  const MemoryPlan memory = plan_memory(small_plan(), limits, 100, 4096);
  EXPECT_THAT(names(memory),
              testing::ElementsAre("weights",
                                   "kv cache",
                                   "activations",
                                   "workspace",
                                   "step inputs",
                                   "token ids of pages",
                                   "sampling"));
  EXPECT_EQ(memory.token_bytes, 10 * 64 * 4);
  EXPECT_EQ(memory.sampling_bytes, 4096);
  EXPECT_EQ(memory.kv_bytes, 10 * 3 * small_plan().kv.page_bytes());
  EXPECT_EQ(memory.total_bytes(),
            memory.kv_bytes + memory.workspace_bytes + memory.input_bytes + 10 * 64 * 4 + 4096);
}

TEST(MemoryPlan, where_the_host_samples_neither_is_there) {
  const StepLimits limits{.max_tokens = 8, .max_rows = 4, .max_sequences = 4, .num_pages = 10};
  const MemoryPlan memory = plan_memory(small_plan(), limits, 100, 4096);
  EXPECT_EQ(memory.table.size(), 5u);
  EXPECT_EQ(memory.token_bytes, 0);
  EXPECT_EQ(memory.sampling_bytes, 0);
}

TEST(MemoryPlan, one_page_more_takes_page_bytes) {
  for (int64_t max_seq_pages : {0, 5}) {
    StepLimits limits{.max_tokens = 8,
                      .max_rows = 4,
                      .max_sequences = 4,
                      .num_pages = 10,
                      .max_seq_pages = max_seq_pages};
    const int64_t before = plan_memory(small_plan(), limits, 100, 4096).total_bytes();
    ++limits.num_pages;
    EXPECT_EQ(plan_memory(small_plan(), limits, 100, 4096).total_bytes() - before,
              page_bytes(small_plan(), limits));
  }
}

}  // namespace
}  // namespace tokamak::engine
