// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/emit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/compiler/pipeline.h"
#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/models/decoder.h"

namespace tokamak::compiler {
namespace {

engine::Plan plan_of(device::Device& device, bool measure) {
  models::DecoderSpec spec;
  spec.vocab_size = 512;
  spec.hidden_size = 128;
  spec.intermediate_size = 256;
  spec.num_heads = 2;
  spec.num_kv_heads = 1;
  spec.head_dim = 64;
  spec.max_positions = 2048;
  spec.layers = models::uniform_layers(2, {.rotary_dim = 64});
  auto graph = models::decoder_graph(spec, DType::kBF16).value();
  EXPECT_TRUE(run_pipeline(*graph).ok());
  Tuner tuner(device, {}, measure);
  return emit(*graph, spec.max_positions, device, tuner).value();
}

TEST(Emit, keeps_time_and_runner_up_of_each_choice_that_was_timed) {
  auto device = device::open_device(Target::kCpu, 2).value();
  engine::Plan plan = plan_of(*device, true);
  int attends = 0;
  for (const engine::PlanStep& step : plan.steps) {
    if (step.op != "attend" && step.op != "matmul") continue;
    attends += step.op == "attend";
    EXPECT_GT(step.choices.front().us, 0) << step.op;
    EXPECT_GT(step.choices.front().runner_up_us, 0) << step.op;
    EXPECT_GE(step.choices.front().runner_up_us, step.choices.front().us) << step.op;
  }
  EXPECT_EQ(attends, 2);
}

TEST(Emit, keeps_the_floor_of_each_choice_where_the_devices_rates_are_known) {
  auto device = device::cuda::CudaDevice::compile_only({}, 1);
  engine::Plan plan = plan_of(*device, false);
  auto read = engine::Plan::from_json(plan.to_json());
  ASSERT_TRUE(read.ok()) << read.error().text();
  for (const engine::PlanStep& step : read->steps) {
    if (step.op != "attend" && step.op != "matmul") continue;
    for (const engine::PlanChoice& choice : step.choices) {
      EXPECT_GT(choice.floor_us, 0) << step.op;
      EXPECT_EQ(choice.share_of_floor(), 0) << "nothing was timed";
    }
  }
}

}  // namespace
}  // namespace tokamak::compiler
