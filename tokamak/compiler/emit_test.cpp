// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/emit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/compiler/decoder_plan_test.h"
#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::compiler {
namespace {

engine::Plan plan_of(device::Device& device, bool measure) {
  Tuner tuner(device, {}, measure);
  return decoder_plan(device, small_decoder({0, 0}), {}, tuner);
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

/// Attention in one step, which can be tried alone: such plans have a layer on a CPU, too.
const PipelineOptions kWholeAttention = {.target = Target::kCpu, .disabled = {"fuse_rope_append"}};

TEST(Emit, keeps_what_a_layer_took_with_each_finalist_and_all_layers_choose_alike) {
  auto device = device::open_device(Target::kCpu, 2).value();
  Tuner tuner(*device, {});
  tuner.ask_layers(true);
  engine::Plan plan = decoder_plan(*device, small_decoder({0, 0, 0}), kWholeAttention, tuner);
  plan = engine::Plan::from_json(plan.to_json()).value();
  int asked = 0;
  std::map<std::string, Json> all;
  for (const engine::PlanStep& step : plan.steps) {
    Json tactics;
    for (const engine::PlanChoice& choice : step.choices)
      tactics.push_back({choice.max_tokens, choice.tactic, choice.config, choice.layer_us});
    std::string problem = problem_key(step_desc(plan, step).value(), 0);
    EXPECT_EQ(all.emplace(problem, tactics).first->second, tactics) << problem;
    for (const engine::PlanChoice& choice : step.choices) {
      asked += choice.layer_us > 0;
      if (choice.layer_us == 0) continue;
      EXPECT_GT(choice.us, 0);
      EXPECT_FALSE(choice.runner_up.empty());
      EXPECT_GT(choice.runner_up_us, 0);
      EXPECT_LE(choice.layer_us * (1 - kLayerGain), choice.runner_up_layer_us);
      if (choice.layer_decided()) {
        EXPECT_LT(choice.layer_us, choice.runner_up_layer_us * (1 - kLayerGain));
      }
    }
  }
  EXPECT_GT(asked, 0);
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
