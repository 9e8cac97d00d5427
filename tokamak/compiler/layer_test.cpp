// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/compiler/decoder_plan_test.h"
#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::compiler {
namespace {

using testing::ElementsAre;

class LayerTest : public testing::Test {
 protected:
  /// The layer of a decoder as a GPU would run it, whose layers have these windows.
  std::optional<Layer> layer(const std::vector<int64_t>& windows) {
    plan_ = decoder_plan(*device_, small_decoder(windows), {.target = Target::kCuda});
    return layer_of(plan_);
  }
  static std::vector<std::string> ops(const Layer& layer) {
    std::vector<std::string> out;
    for (const LayerStep& step : layer.steps) out.emplace_back(step.desc.op.name());
    return out;
  }
  /// Windows of the steps that attend.
  std::vector<int64_t> windows(const Layer& layer) const {
    std::vector<int64_t> out;
    for (const LayerStep& step : layer.steps) {
      const Json& attributes = plan_.steps[step.plan_step].attributes;
      if (step.desc.op.name() == "rope_attend")
        out.push_back(attributes.value("window", int64_t{0}));
    }
    return out;
  }

  std::shared_ptr<device::Device> device_ = device::cuda::CudaDevice::compile_only({}, 1);
  engine::Plan plan_;
};

TEST_F(LayerTest, is_what_stands_between_one_attention_and_the_next) {
  std::optional<Layer> found = layer({0, 0, 0, 0});
  ASSERT_TRUE(found);
  EXPECT_THAT(ops(*found),
              ElementsAre("rope_attend", "matmul", "norm_matmul", "matmul", "norm_matmul"));
  EXPECT_EQ(found->num_problems, 5u);
}

TEST_F(LayerTest, each_step_reads_what_this_layer_or_the_one_before_wrote) {
  Layer found = layer({0, 0, 0, 0}).value();
  using Read = std::tuple<size_t, size_t, size_t>;  // input, from, output
  auto reads = [&](size_t step) {
    std::vector<Read> out;
    for (const auto& read : found.steps[step].reads)
      out.emplace_back(read.input, read.from, read.output);
    std::sort(out.begin(), out.end());
    return out;
  };
  EXPECT_THAT(reads(0), ElementsAre(Read{0, 4, 0})) << "the projections";
  EXPECT_THAT(reads(1), ElementsAre(Read{0, 0, 0}, Read{2, 3, 0})) << "attention and residual";
  EXPECT_THAT(reads(2), ElementsAre(Read{0, 1, 0})) << "gate and up";
  EXPECT_THAT(reads(3), ElementsAre(Read{0, 2, 0}, Read{2, 1, 0})) << "down";
  EXPECT_THAT(reads(4), ElementsAre(Read{0, 3, 0})) << "the next projections";
}

TEST_F(LayerTest, where_layers_of_two_kinds_take_turns_it_is_both) {
  Layer found = layer({128, 0, 128, 0, 128, 0}).value();
  EXPECT_THAT(windows(found), testing::UnorderedElementsAre(128, 0));
  EXPECT_EQ(found.steps.size(), 10u);
  EXPECT_EQ(found.num_problems, 6u) << "only attention differs";
}

TEST_F(LayerTest, covers_the_rare_kind_too_if_that_repeats) {
  Layer found = layer({64, 64, 64, 0, 64, 64, 64, 0, 64, 64, 64, 0, 64}).value();
  EXPECT_THAT(windows(found), testing::UnorderedElementsAre(64, 64, 64, 0));
}

TEST_F(LayerTest, a_first_layer_of_its_own_kind_is_left_out) {
  Layer found = layer({128, 0, 0, 0, 0}).value();
  EXPECT_THAT(windows(found), ElementsAre(0));
}

TEST_F(LayerTest, there_is_none_where_nothing_repeats) {
  EXPECT_FALSE(layer({0, 0}));
  EXPECT_FALSE(layer({16, 32, 64, 128}));
}

TEST_F(LayerTest, there_is_none_where_a_step_keeps_state_and_does_not_attend) {
  auto cpu = device::open_device(Target::kCpu, 1).value();
  engine::Plan plan = decoder_plan(*cpu, small_decoder({0, 0, 0, 0}), {.target = Target::kCpu});
  ASSERT_TRUE(std::any_of(plan.steps.begin(), plan.steps.end(), [](const engine::PlanStep& step) {
    return step.op == "rope_append";
  }));
  EXPECT_FALSE(layer_of(plan));
}

}  // namespace
}  // namespace tokamak::compiler
