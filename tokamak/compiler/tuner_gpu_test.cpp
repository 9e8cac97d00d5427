// SPDX-License-Identifier: Apache-2.0
// Attention is timed on the GPU as decode steps and as prompts; prints what it chose from.
#include <cmath>

#include <gtest/gtest.h>

#include "tokamak/compiler/floor.h"
#include "tokamak/compiler/tuner.h"
#include "tokamak/op/attention.h"

namespace tokamak::compiler {
namespace {

TEST(TunerOnGpu, times_each_way_to_attend_at_any_size_of_step) {
  auto device = device::open_device(Target::kCuda);
  if (!device.ok()) GTEST_SKIP() << "SKIPPED: " << device.error().text();
  op::Attend attend;  // Of Llama-3-8B.
  attend.num_heads = 32;
  attend.num_kv_heads = 8;
  attend.head_dim = 128;
  attend.scale = 0.088f;
  TensorType q{DType::kBF16, {tensor::kTokens, 4096}};
  kernels::KernelDesc desc{.op = attend, .inputs = {q}, .outputs = {q}, .weights = {false}};
  Tuner tuner(**device, {});
  for (int64_t tokens : {1, 8, 64, 256, 512, 2048}) {
    auto candidates = kernels::candidates(desc, tokens, **device).value();
    auto us = tuner.time(desc, tokens, candidates);
    ASSERT_TRUE(us.ok()) << us.error().text();
    double floor = floor_us(step_work(desc, tokens, **device), DType::kBF16, **device);
    for (size_t i = 0; i < candidates.size(); ++i) {
      EXPECT_TRUE(std::isfinite((*us)[i])) << tokens << " " << candidates[i].config.dump();
      fmt::print("{:5} rows {:8.1f} us {:4.0f} % of the floor  {} {}\n",
                 tokens,
                 (*us)[i],
                 100 * floor / (*us)[i],
                 candidates[i].tactic->name,
                 candidates[i].config.dump());
    }
    EXPECT_TRUE((*device)->synchronize().ok());
  }
}

}  // namespace
}  // namespace tokamak::compiler
