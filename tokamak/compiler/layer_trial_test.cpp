// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/layer_trial.h"

#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/compiler/decoder_plan_test.h"

namespace tokamak::compiler {
namespace {

/// A host that captures as a GPU does, with a clock that we set: `us` for what was captured.
class CapturingDevice : public device::Device {
 public:
  explicit CapturingDevice(device::Device& host) : host_(host) {}
  Target target() const override { return host_.target(); }
  std::string fingerprint() const override { return host_.fingerprint(); }
  Result<device::Memory> allocate(int64_t bytes) override { return host_.allocate(bytes); }
  Result<device::Memory> allocate_host(int64_t bytes) override {
    return host_.allocate_host(bytes);
  }
  int64_t free_bytes() const override { return host_.free_bytes(); }
  int64_t total_bytes() const override { return host_.total_bytes(); }
  bool host_accessible() const override { return true; }
  void copy_to_device(void* to, const void* from, int64_t bytes) override {
    host_.copy_to_device(to, from, bytes);
  }
  void copy_to_host(void* to, const void* from, int64_t bytes) override {
    host_.copy_to_host(to, from, bytes);
  }
  void fill_bytes(void* to, uint8_t value, int64_t bytes) override {
    host_.fill_bytes(to, value, bytes);
  }
  Result<void> synchronize() override { return host_.synchronize(); }
  Result<std::unique_ptr<device::Event>> make_event() override { return host_.make_event(); }
  base::ThreadPool& pool() override { return host_.pool(); }

  Result<std::unique_ptr<device::Graph>> capture(const std::function<void()>&) override {
    struct Launched : device::Graph {
      Launched(CapturingDevice& on, int n) : device(on), number(n) {}
      void launch() override { device.launched.push_back(number); }
      CapturingDevice& device;
      int number;
    };
    return std::unique_ptr<device::Graph>(std::make_unique<Launched>(*this, num_captured++));
  }
  Result<double> time_us(const std::function<void()>& work) override {
    size_t before = launched.size();
    work();
    return launched.size() > before ? us.at(static_cast<size_t>(launched.back())) : play_us;
  }

  double play_us = 0;      ///< Of a layer that was not captured.
  std::vector<double> us;  ///< Of each graph.
  int num_captured = 0;
  std::vector<int> launched;  ///< Graphs, in order.

 private:
  device::Device& host_;
};

class LayerTrialTest : public testing::Test {
 protected:
  LayerTrialTest() {
    plan_ = decoder_plan(*device_,
                         small_decoder({0, 0, 0, 0}),
                         {.target = Target::kCpu, .disabled = {"fuse_rope_append"}});
    layer_ = layer_of(plan_).value();
  }
  /// Up to two candidates of each problem that read the same layout.
  std::vector<std::vector<kernels::Candidate>> finalists(int64_t tokens) {
    std::vector<std::vector<kernels::Candidate>> out(layer_.num_problems);
    for (const LayerStep& step : layer_.steps) {
      for (kernels::Candidate& candidate :
           kernels::candidates(step.desc, tokens, *device_).value()) {
        auto& of_problem = out[step.problem];
        if (of_problem.empty() ||
            (of_problem.size() == 1 && of_problem[0].tactic->layout == candidate.tactic->layout))
          of_problem.push_back(std::move(candidate));
      }
    }
    return out;
  }

  std::shared_ptr<device::Device> device_ = device::open_device(Target::kCpu, 2).value();
  engine::Plan plan_;
  Layer layer_;
};

TEST_F(LayerTrialTest, steps_have_the_shapes_of_the_plan_and_are_wired_as_it_says) {
  for (int64_t tokens : {3, 40}) {
    LayerTrial trial = LayerTrial::make(*device_, layer_, finalists(tokens), tokens).value();
    for (size_t s = 0; s < layer_.steps.size(); ++s) {
      const LayerStep& step = layer_.steps[s];
      kernels::Launch launch = trial.launch(s, 0);
      ASSERT_EQ(launch.inputs.size(), step.desc.inputs.size());
      for (size_t i = 0; i < launch.inputs.size(); ++i) {
        EXPECT_EQ(launch.inputs[i].shape, step.desc.inputs[i].resolve(tokens, tokens));
        EXPECT_NE(launch.inputs[i].data, nullptr) << step.desc.op.name() << " input " << i;
      }
      ASSERT_FALSE(step.reads.empty()) << step.desc.op.name();
      for (const LayerStep::Read& read : step.reads) {
        kernels::Launch from = trial.launch(read.from, 0);
        EXPECT_EQ(launch.inputs[read.input].data, from.outputs[read.output].data);
        EXPECT_EQ(launch.inputs[read.input].shape, from.outputs[read.output].shape);
      }
      for (const TensorView& output : launch.outputs) {
        for (const TensorView& input : launch.inputs) EXPECT_NE(input.data, output.data);
      }
    }
  }
}

TEST_F(LayerTrialTest, weights_and_caches_take_turns) {
  LayerTrial trial = LayerTrial::make(*device_, layer_, finalists(2), 2).value();
  for (size_t s = 0; s < layer_.steps.size(); ++s) {
    const kernels::KernelDesc& desc = layer_.steps[s].desc;
    std::set<const void*> seen;
    for (size_t turn = 0; turn < 4; ++turn) {
      kernels::Launch launch = trial.launch(s, turn);
      if (op::attention_settings(desc.op))
        seen.insert(launch.batch->layers.back().data);
      else if (desc.weights.size() > 1 && desc.weights[1])
        seen.insert(launch.inputs[1].data);
    }
    EXPECT_TRUE(seen.empty() || seen.size() == 4) << desc.op.name() << " has " << seen.size();
  }
}

TEST_F(LayerTrialTest, what_is_timed_computes_the_same_with_each_finalist) {
  constexpr int64_t kTokens = 3;
  auto chosen = finalists(kTokens);
  auto result = [&](const Assignment& assignment) {
    LayerTrial trial = LayerTrial::make(*device_, layer_, chosen, kTokens).value();
    trial.play(assignment, 0);
    const TensorView out = trial.launch(layer_.steps.size() - 1, 0).outputs[0];
    std::vector<float> values(static_cast<size_t>(out.count()));
    tensor::convert(out.dtype, out.data, DType::kF32, values.data(), out.count());
    return values;
  };
  Assignment first(layer_.num_problems, 0), second = first;
  for (size_t p = 0; p < chosen.size(); ++p) second[p] = chosen[p].size() - 1;
  ASSERT_NE(first, second) << "two ways to run the layer";
  std::vector<float> values = result(first), others = result(second);
  double squares = 0, differences = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    squares += values[i] * values[i];
    differences += (values[i] - others[i]) * (values[i] - others[i]);
  }
  ASSERT_TRUE(std::isfinite(squares));
  EXPECT_GT(squares, 0);
  EXPECT_LT(differences, 1e-3 * squares);
}

TEST_F(LayerTrialTest, comparing_two_layers_gives_the_time_of_one_each) {
  auto chosen = finalists(2);
  LayerTrial trial = LayerTrial::make(*device_, layer_, chosen, 2).value();
  Assignment first(layer_.num_problems, 0), second = first;
  for (size_t p = 0; p < chosen.size(); ++p) second[p] = chosen[p].size() - 1;
  LayerTimes times = trial.compare(first, second).value();
  double once = device_->time_us([&] { trial.play(first, 0); }).value();
  EXPECT_GT(times.incumbent_us, 0);
  EXPECT_GT(times.challenger_us, 0);
  EXPECT_LT(times.incumbent_us, 8 * once) << "of one layer, not of all in a graph";
}

TEST_F(LayerTrialTest, each_assignment_is_captured_once_and_replays_take_turns) {
  CapturingDevice device(*device_);
  device.play_us = 400;  // So that a graph of 1.5 ms holds four layers.
  device.us = {2000, 1600, 1800};
  auto chosen = finalists(2);
  LayerTrial trial = LayerTrial::make(device, layer_, chosen, 2).value();
  Assignment first(layer_.num_problems, 0), second = first;
  for (size_t p = 0; p < chosen.size(); ++p) second[p] = chosen[p].size() - 1;
  LayerTimes times = trial.compare(first, second).value();
  EXPECT_EQ(times.incumbent_us, 500);
  EXPECT_EQ(times.challenger_us, 400);
  EXPECT_EQ(device.num_captured, 2);
  ASSERT_GE(device.launched.size(), 8u);
  for (size_t i = 0; i < device.launched.size(); ++i)
    EXPECT_EQ(device.launched[i], static_cast<int>(i % 2)) << "in turns";

  EXPECT_EQ(trial.compare(second, first).value().incumbent_us, 400);
  EXPECT_EQ(device.num_captured, 2) << "both are known";
}

}  // namespace
}  // namespace tokamak::compiler
