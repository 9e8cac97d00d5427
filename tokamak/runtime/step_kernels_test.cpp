// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/step_kernels.h"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

namespace tokamak::runtime {
namespace {

/// Products of [T, 64] with weights of so many rows.
engine::Engine products(device::Device& device, const std::vector<int64_t>& rows) {
  engine::Engine engine;
  engine::Plan& plan = engine.plan;
  auto value = [&](engine::PlanValueKind kind, TensorType type) {
    plan.values.push_back({"v", kind, std::move(type)});
    return static_cast<int32_t>(plan.values.size()) - 1;
  };
  int32_t x = value(engine::PlanValueKind::kInput, {DType::kF32, {tensor::kTokens, 64}});
  for (int64_t outputs : rows) {
    int32_t w = value(engine::PlanValueKind::kWeight, {DType::kF32, {outputs, 64}}),
            y = value(engine::PlanValueKind::kBuffer, {DType::kF32, {tensor::kTokens, outputs}});
    engine::PlanStep step{
        .op = "matmul", .attributes = {{"transposed", true}}, .inputs = {x, w}, .outputs = {y}};
    auto candidate = kernels::candidates(step_desc(plan, step).value(), 1, device).value()[0];
    step.choices.push_back({.max_tokens = 1,
                            .tactic = std::string(candidate.tactic->name),
                            .version = candidate.tactic->version,
                            .config = candidate.config});
    plan.steps.push_back(std::move(step));
  }
  return engine;
}

TEST(MakeKernels, steps_that_are_alike_share_their_kernels) {
  auto device = device::open_device(Target::kCpu, 1).value();
  engine::Engine engine = products(*device, {128, 192, 128});
  auto kernels = make_kernels(engine, *device);
  ASSERT_TRUE(kernels.ok()) << kernels.error().text();
  ASSERT_EQ(kernels->size(), 3u);
  EXPECT_EQ(&(*kernels)[0].at(1), &(*kernels)[2].at(1));
  EXPECT_NE(&(*kernels)[0].at(1), &(*kernels)[1].at(1)) << "weights of another shape";
}

TEST(MakeKernels, choices_that_are_alike_share_a_kernel_and_others_do_not) {
  auto device = device::open_device(Target::kCpu, 1).value();
  engine::Engine engine = products(*device, {128});
  engine::PlanStep& step = engine.plan.steps[0];
  auto all = kernels::candidates(step_desc(engine.plan, step).value(), 64, *device).value();
  auto other = std::find_if(all.begin(), all.end(), [&](const kernels::Candidate& candidate) {
    return candidate.tactic->name != step.choices[0].tactic ||
           candidate.config != step.choices[0].config;
  });
  ASSERT_NE(other, all.end());
  step.choices.push_back(step.choices[0]);
  step.choices.push_back({.tactic = std::string(other->tactic->name),
                          .version = other->tactic->version,
                          .config = other->config});
  for (size_t i = 0; i < 3; ++i) step.choices[i].max_tokens = int64_t{1} << (2 * i);
  StepKernels kernels = make_kernels(engine, *device).value()[0];
  EXPECT_EQ(&kernels.at(1), &kernels.at(4));
  EXPECT_NE(&kernels.at(1), &kernels.at(5));
  EXPECT_EQ(&kernels.at(16), &kernels.at(100)) << "the last serves all larger steps";
}

TEST(MakeKernels, a_step_that_cannot_be_made_is_the_error) {
  auto device = device::open_device(Target::kCpu, 1).value();
  engine::Engine engine = products(*device, {128, 192, 128});
  engine.plan.steps[1].choices[0].version += 1;
  auto kernels = make_kernels(engine, *device);
  ASSERT_FALSE(kernels.ok());
  EXPECT_EQ(kernels.error().code, ErrorCode::kUnsupported);
}

TEST(MakeKernels, a_config_that_the_tactic_does_not_know_names_step_and_tactic) {
  auto device = device::open_device(Target::kCpu, 1).value();
  engine::Engine engine = products(*device, {128, 192});
  for (const auto& [config, error] :
       std::map<std::string, std::string>{{R"({"panels": 0})", "no such config: {\"panels\":0}"},
                                          {R"({"panels": 9223372036854775807})", "no such config"},
                                          {R"({"rows": 1})", "unknown attribute 'rows'"},
                                          {"7", "expected an object, found number"}}) {
    engine.plan.steps[1].choices[0].config = Json::parse(config);
    auto kernels = make_kernels(engine, *device);
    ASSERT_FALSE(kernels.ok()) << config;
    EXPECT_EQ(kernels.error().code, ErrorCode::kCorrupt);
    EXPECT_TRUE(kernels.error().message.starts_with("plan step 1: matmul_cpu_stream: " + error))
        << kernels.error().message;
  }
}

}  // namespace
}  // namespace tokamak::runtime
