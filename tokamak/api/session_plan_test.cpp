// SPDX-License-Identifier: Apache-2.0
// What a session on a GPU will allocate, planned on a machine without one. Needs NVRTC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/api/build.h"
#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/device/cuda/libraries.h"
#include "tokamak/runtime/engine_session.h"
#include "tokamak/runtime/sampling_block.h"

namespace tokamak::api {
namespace {

TEST(SessionPlanOfAGpu, has_the_tokens_of_pages_and_what_sampling_takes) {
  if (auto nvrtc = device::cuda::nvrtc(); !nvrtc.ok())
    GTEST_SKIP() << "SKIPPED: " << nvrtc.error().text();
  auto device = device::cuda::CudaDevice::compile_only({}, 2);
  auto engine = build_engine(
      "models/storyteller", *device, {.target = Target::kCuda, .dtype = "bfloat16", .tune = false});
  ASSERT_TRUE(engine.ok()) << engine.error().text();
  const engine::Plan& plan = engine->plan;
  const runtime::SessionOptions options{.max_step_tokens = 64, .max_sequences = 8};
  auto planned = runtime::plan_session(*engine, *device, options);
  ASSERT_TRUE(planned.ok()) << planned.error().text();
  const engine::MemoryPlan& memory = planned->memory;
  EXPECT_EQ(memory.token_bytes, planned->limits.num_pages * 64 * 4);
  EXPECT_EQ(memory.sampling_bytes,
            runtime::sampling_layout(planned->limits, plan.vocab_size).bytes);

  // Of the memory that it may take, less than a page is left.
  const int64_t page = engine::page_bytes(plan, planned->limits);
  EXPECT_EQ(page, plan.kv.page_bytes() * plan.kv.num_layers + 64 * 4);
  runtime::SessionOptions bounded = options;
  bounded.memory_bytes = memory.total_bytes() - 5 * page - 1;
  auto smaller = runtime::plan_session(*engine, *device, bounded);
  ASSERT_TRUE(smaller.ok()) << smaller.error().text();
  EXPECT_EQ(smaller->limits.num_pages, planned->limits.num_pages - 6);
  EXPECT_EQ(smaller->memory.total_bytes(), memory.total_bytes() - 6 * page);
}

}  // namespace
}  // namespace tokamak::api
