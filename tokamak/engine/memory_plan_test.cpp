// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/memory_plan.h"

#include <random>

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

/// Buffers of any size and life, some of them empty in a step without logits.
Plan random_buffers(std::mt19937& random) {
  Plan plan = small_plan();
  const int steps = 1 + static_cast<int>(random() % 40);
  plan.steps.resize(static_cast<size_t>(steps));
  const int buffers = 1 + static_cast<int>(random() % 60);
  for (int i = 0; i < buffers; ++i) {
    int32_t first = static_cast<int32_t>(random() % static_cast<unsigned>(steps));
    int32_t last = first + static_cast<int32_t>(random() % static_cast<unsigned>(steps - first));
    Dim rows = random() % 4 == 0 ? tensor::kRows : random() % 8 ? tensor::kTokens : Dim(3);
    int64_t columns = 1 + static_cast<int64_t>(random() % (random() % 5 ? 64 : 4096));
    DType dtype = random() % 2 ? DType::kBF16 : DType::kF32;
    plan.values.push_back({"v", PlanValueKind::kBuffer, {dtype, {rows, columns}}, first, last});
    if (random() % 5 == 0) plan.values.push_back({"w", PlanValueKind::kWeight, {}});
  }
  plan.logits = 0;
  return plan;
}

TEST(MemoryPlan, no_two_buffers_that_live_together_share_a_byte) {
  std::mt19937 random(7);
  const StepLimits limits{.max_tokens = 5, .max_rows = 3, .max_sequences = 3, .num_pages = 1};
  int64_t shared = 0;
  for (int round = 0; round < 500; ++round) {
    const Plan plan = random_buffers(random);
    const MemoryPlan memory = plan_memory(plan, limits, 0);
    auto bytes = [&](size_t i) {
      const TensorType& type = plan.values[i].type;
      return tensor::num_elements(type.resolve(limits.max_tokens, limits.max_rows)) *
             tensor::dtype_bytes(type.dtype);
    };
    for (size_t a = 0; a < plan.values.size(); ++a) {
      if (plan.values[a].kind != PlanValueKind::kBuffer) {
        ASSERT_EQ(memory.offsets[a], -1);
        continue;
      }
      ASSERT_EQ(memory.offsets[a] % 64, 0);
      ASSERT_GE(memory.offsets[a], 0);
      ASSERT_LE(memory.offsets[a] + bytes(a), memory.arena_bytes);
      for (size_t b = 0; b < a; ++b) {
        if (plan.values[b].kind != PlanValueKind::kBuffer) continue;
        // The logits are read when all steps are done, and stay until the next time.
        bool logits = static_cast<int32_t>(b) == plan.logits;
        bool together = logits || (plan.values[a].first_step <= plan.values[b].last_step &&
                                   plan.values[b].first_step <= plan.values[a].last_step);
        bool apart = memory.offsets[a] + bytes(a) <= memory.offsets[b] ||
                     memory.offsets[b] + bytes(b) <= memory.offsets[a];
        ASSERT_TRUE(apart || !together) << "round " << round << ", values " << a << " and " << b;
        shared += !apart;
      }
    }
  }
  EXPECT_GT(shared, 1000) << "buffers that do not live together should share";
}

TEST(MemoryPlan, a_cache_that_no_memory_holds_does_not_overflow) {
  StepLimits limits{.max_tokens = 8,
                    .max_rows = 4,
                    .max_sequences = 4,
                    .num_pages = int64_t{1} << 34,
                    .max_seq_pages = 5};
  Plan plan = small_plan();
  plan.kv = {.num_layers = 1 << 14, .num_kv_heads = 1 << 10, .head_dim = 1 << 12};
  const MemoryPlan memory = plan_memory(plan, limits, 100, 4096);
  EXPECT_GE(memory.kv_bytes, int64_t{1} << 60);
  EXPECT_GT(memory.total_bytes(), memory.kv_bytes);
}

}  // namespace
}  // namespace tokamak::engine
