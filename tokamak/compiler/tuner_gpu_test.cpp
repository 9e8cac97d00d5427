// SPDX-License-Identifier: Apache-2.0
// Attention is timed on the GPU as decode steps and as prompts, and the finalists of a layer of
// Llama-3-8B within it; prints what it chose from.
#include <chrono>
#include <cmath>

#include <gtest/gtest.h>

#include "tokamak/compiler/decoder_plan_test.h"
#include "tokamak/compiler/floor.h"
#include "tokamak/compiler/layer_trial.h"
#include "tokamak/compiler/timed_problem.h"
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

class LayerOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    auto device = device::open_device(Target::kCuda);
    if (!device.ok()) GTEST_SKIP() << "SKIPPED: " << device.error().text();
    device_ = *device;
    models::DecoderSpec spec = small_decoder({0, 0, 0});  // Of the shapes of Llama-3-8B.
    spec.hidden_size = 4096;
    spec.intermediate_size = 14336;
    spec.num_heads = 32;
    spec.num_kv_heads = 8;
    spec.head_dim = 128;
    for (auto& layer : spec.layers) layer.rotary.rotary_dim = 128;
    layer_ = layer_of(decoder_plan(*device_, spec, {.target = Target::kCuda}));
    ASSERT_TRUE(layer_);
  }
  /// Of each problem of the layer, timed alone.
  std::vector<TimedBucket> timed_alone(Tuner& tuner, int64_t tokens) {
    std::vector<TimedBucket> out(layer_->num_problems, TimedBucket{.tokens = tokens});
    for (const LayerStep& step : layer_->steps) {
      TimedBucket& bucket = out[step.problem];
      bucket.candidates = kernels::candidates(step.desc, tokens, *device_).value();
      bucket.us = tuner.time(step.desc, tokens, bucket.candidates).value();
      bucket.floor_us = floor_us(step_work(step.desc, tokens, *device_), DType::kBF16, *device_);
    }
    return out;
  }

  std::shared_ptr<device::Device> device_;
  std::optional<Layer> layer_;
};

TEST_F(LayerOnGpu, finalists_are_timed_within_it) {
  for (int64_t tokens : {1, 8, 64, 256, 2048}) {
    Tuner tuner(*device_, {});
    ASSERT_TRUE(tuner.asks_layers());
    std::vector<TimedBucket> alone = timed_alone(tuner, tokens);
    std::vector<std::vector<kernels::Candidate>> close;
    double alone_us = 0, floor = 0;
    for (const TimedBucket& bucket : alone) {
      close.push_back(finalists(bucket, {}));
      alone_us += std::max(choose(bucket, {}).us, bucket.floor_us);  // Some have no choice.
      floor += bucket.floor_us;
    }
    auto begin = std::chrono::steady_clock::now();
    auto verdicts = tuner.decide_in_layer(*layer_, close, tokens);
    double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    ASSERT_TRUE(verdicts.ok()) << verdicts.error().text();
    fmt::print("{} rows: alone {:.1f} us, floor {:.1f} us; the layer asked in {:.2f} s\n",
               tokens,
               alone_us,
               floor,
               seconds);
    EXPECT_LT(seconds, 1.5);
    for (size_t p = 0; p < alone.size(); ++p) {
      const Verdict& verdict = (*verdicts)[p];
      ASSERT_EQ(close[p].size() > 1, verdict.layer_us > 0);
      if (verdict.layer_us == 0) continue;
      engine::PlanChoice choice = choose(alone[p], {}, verdict);
      fmt::print("  {}{} {} {:.1f} us, layer {:.1f}; rival {} {:.1f} us, layer {:.1f}\n",
                 choice.layer_decided() ? "! " : "",
                 choice.tactic,
                 choice.config.dump(),
                 choice.us,
                 choice.layer_us,
                 choice.runner_up,
                 choice.runner_up_us,
                 choice.runner_up_layer_us);
      EXPECT_GT(verdict.layer_us, 0.9 * floor);
      EXPECT_LT(verdict.layer_us, 2 * alone_us);
    }
  }
}

TEST_F(LayerOnGpu, what_is_timed_computes) {
  for (int64_t tokens : {1, 100, 600}) {
    std::vector<std::vector<kernels::Candidate>> any(layer_->num_problems);
    for (const LayerStep& step : layer_->steps)
      any[step.problem] = {kernels::candidates(step.desc, tokens, *device_).value()[0]};
    auto trial = LayerTrial::make(*device_, *layer_, any, tokens);
    ASSERT_TRUE(trial.ok()) << trial.error().text();
    Assignment first(layer_->num_problems, 0);
    for (size_t turn = 0; turn < 3; ++turn) trial->play(first, turn);
    const TensorView out = trial->launch(layer_->steps.size() - 1, 0).outputs[0];
    std::vector<uint16_t> bits(static_cast<size_t>(out.count()));
    device_->copy_to_host(bits.data(), out.data, out.bytes());
    ASSERT_TRUE(device_->synchronize().ok());
    std::vector<float> values(bits.size());
    tensor::convert(DType::kBF16, bits.data(), DType::kF32, values.data(), out.count());
    double sum = 0;
    for (float value : values) {
      ASSERT_TRUE(std::isfinite(value)) << tokens;
      sum += std::abs(value);
    }
    EXPECT_GT(sum, 0) << tokens;
  }
}

}  // namespace
}  // namespace tokamak::compiler
