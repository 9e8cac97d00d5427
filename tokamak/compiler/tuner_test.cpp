// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/tuner.h"

#include <cmath>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/compiler/decoder_plan_test.h"
#include "tokamak/compiler/trial.h"
#include "tokamak/op/attention.h"

namespace tokamak::compiler {
namespace {

namespace fs = std::filesystem;
using testing::Each;
using testing::Gt;

constexpr int64_t kHeads = 4, kKvHeads = 2, kHeadDim = 64, kLayer = 3;

kernels::KernelDesc attend_desc(DType dtype = DType::kBF16) {
  op::Attend attend;
  attend.layer = kLayer;
  attend.num_heads = kHeads;
  attend.num_kv_heads = kKvHeads;
  attend.head_dim = kHeadDim;
  attend.scale = 0.125f;
  TensorType q{dtype, {tensor::kTokens, kHeads * kHeadDim}};
  return {.op = attend, .inputs = {q}, .outputs = {q}, .weights = {false}};
}

/// A device whose kernels run, but whose clock says what a test wants: `next` is asked after each
/// piece of work that is timed.
class ScriptedClock : public device::Device {
 public:
  explicit ScriptedClock(device::Device& real) : real_(real) {}
  std::function<double()> next = [] { return 700.0; };

  Result<double> time_us(const std::function<void()>& work) override {
    work();
    return next();
  }
  Target target() const override { return real_.target(); }
  std::string fingerprint() const override { return real_.fingerprint(); }
  Result<device::Memory> allocate(int64_t bytes) override { return real_.allocate(bytes); }
  Result<device::Memory> allocate_host(int64_t bytes) override {
    return real_.allocate_host(bytes);
  }
  int64_t free_bytes() const override { return real_.free_bytes(); }
  int64_t total_bytes() const override { return real_.total_bytes(); }
  bool host_accessible() const override { return real_.host_accessible(); }
  void copy_to_device(void* to, const void* from, int64_t bytes) override {
    real_.copy_to_device(to, from, bytes);
  }
  void copy_to_host(void* to, const void* from, int64_t bytes) override {
    real_.copy_to_host(to, from, bytes);
  }
  void fill_bytes(void* to, uint8_t value, int64_t bytes) override {
    real_.fill_bytes(to, value, bytes);
  }
  Result<void> synchronize() override { return real_.synchronize(); }
  Result<std::unique_ptr<device::Event>> make_event() override { return real_.make_event(); }
  Result<std::unique_ptr<device::Graph>> capture(const std::function<void()>& work) override {
    return real_.capture(work);
  }
  base::ThreadPool& pool() override { return real_.pool(); }

 private:
  device::Device& real_;
};

class TunerTest : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(cache_); }
  std::shared_ptr<device::Device> device_ = device::open_device(Target::kCpu, 2).value();
  ScriptedClock clock_{*device_};
  const fs::path cache_ = fs::temp_directory_path() / fmt::format("tokamak_tuner_{}", ::getpid());
};

TEST_F(TunerTest, decoding_is_tried_with_a_context_for_each_row) {
  TrialBatch batch = TrialBatch::make(*device_, attend_desc(), 8).value();
  const op::BatchView& view = batch.view(0);
  ASSERT_EQ(view.sequences.size(), 8u);
  std::set<int32_t> pages;
  for (const op::SequenceSpan& sequence : view.sequences) {
    EXPECT_EQ(sequence.num_tokens, 1);
    EXPECT_EQ(sequence.context + 1, TrialBatch::kContext);
    EXPECT_EQ(sequence.pages.size(), 16u);
    pages.insert(sequence.pages.begin(), sequence.pages.end());
  }
  EXPECT_EQ(pages.size(), 8u * 16) << "no two sequences share a page";
  EXPECT_EQ(view.layers.size(), static_cast<size_t>(kLayer + 1));
}

TEST_F(TunerTest, the_caches_of_runs_take_turns_past_the_processors_own) {
  TrialBatch batch = TrialBatch::make(*device_, attend_desc(), 8).value();
  EXPECT_GT(batch.num_copies(), 4);
  std::set<void*> caches;
  for (int64_t run = 0; run < 3 * batch.num_copies(); ++run)
    caches.insert(batch.view(static_cast<size_t>(run)).layers[kLayer].data);
  EXPECT_EQ(std::ssize(caches), batch.num_copies());
}

TEST_F(TunerTest, a_large_step_is_tried_as_one_prompt) {
  TrialBatch batch = TrialBatch::make(*device_, attend_desc(), 256).value();
  ASSERT_EQ(batch.view(0).sequences.size(), 1u);
  EXPECT_EQ(batch.view(0).sequences[0].num_tokens, 256);
  EXPECT_EQ(batch.view(0).sequences[0].context, 0);
  EXPECT_EQ(batch.on_device().max_sequence_rows, 256);
}

TEST_F(TunerTest, the_batch_on_the_device_says_the_same) {
  for (int64_t tokens : {1, 8, 100}) {
    TrialBatch batch = TrialBatch::make(*device_, attend_desc(), tokens).value();
    const kernels::DeviceBatch& on_device = batch.on_device();
    const op::BatchView& view = batch.view(0);
    ASSERT_EQ(on_device.num_sequences, std::ssize(view.sequences));
    for (size_t s = 0; s < view.sequences.size(); ++s) {
      const op::SequenceSpan& sequence = view.sequences[s];
      EXPECT_EQ(on_device.first_rows[s], sequence.first_token);
      EXPECT_EQ(on_device.first_rows[s + 1], sequence.first_token + sequence.num_tokens);
      EXPECT_EQ(on_device.contexts[s], sequence.context);
      for (size_t i = 0; i < sequence.pages.size(); ++i)
        EXPECT_EQ(on_device.page_table[s * static_cast<size_t>(on_device.max_pages) + i],
                  sequence.pages[i]);
    }
  }
}

TEST_F(TunerTest, what_is_timed_computes_the_ops_result) {
  for (int64_t tokens : {3, 40}) {
    kernels::KernelDesc desc = attend_desc(DType::kF32);
    auto candidate = kernels::candidates(desc, tokens, *device_).value()[0];
    auto kernel = candidate.tactic->make(desc, candidate.config, *device_).value();
    TrialBatch batch = TrialBatch::make(*device_, desc, tokens).value();
    Trial trial = Trial::make(*device_, desc, candidate, *kernel, tokens, batch).value();
    kernels::Launch launch = trial.launch(1);
    kernel->run(launch);
    std::vector<float> expected(static_cast<size_t>(tokens * kHeads * kHeadDim));
    TensorView out = launch.outputs[0];
    out.data = expected.data();
    op::Attend::reference(
        *desc.op.as<op::Attend>(), *launch.batch, launch.inputs, std::span(&out, 1));
    const auto* got = static_cast<const float*>(launch.outputs[0].data);
    double sum = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(got[i], expected[i], 1e-4) << i;
      sum += std::abs(expected[i]);
    }
    EXPECT_GT(sum, 0);
  }
}

TEST_F(TunerTest, attention_is_timed_and_not_timed_again) {
  for (int64_t tokens : {2, 64}) {
    auto candidates = kernels::candidates(attend_desc(), tokens, *device_).value();
    ASSERT_GT(candidates.size(), 1u);
    Tuner first(clock_, cache_ / "tactics.json");
    Timings us = first.time(attend_desc(), tokens, candidates).value();
    EXPECT_THAT(us, Each(Gt(0)));
    for (double one : us) EXPECT_TRUE(std::isfinite(one));
    EXPECT_EQ(first.num_timed(), std::ssize(candidates));
    ASSERT_TRUE(first.save().ok());
    Tuner second(clock_, cache_ / "tactics.json");
    kernels::KernelDesc other = attend_desc();  // Of another layer: the same problem.
    op::Attend attend = *other.op.as<op::Attend>();
    attend.layer = 0;
    other.op = attend;
    EXPECT_EQ(second.time(other, tokens, candidates).value(), us);
    EXPECT_EQ(second.num_timed(), 0);
    EXPECT_EQ(second.num_from_cache(), std::ssize(candidates));
  }
}

TEST_F(TunerTest, the_clock_of_the_device_itself_gives_times) {
  auto candidates = kernels::candidates(attend_desc(), 2, *device_).value();
  Timings us = Tuner(*device_, {}).time(attend_desc(), 2, candidates).value();
  EXPECT_THAT(us, Each(testing::AllOf(Gt(0), testing::Lt(1e7))));
}

TEST_F(TunerTest, what_was_disturbed_is_timed_again_and_then_kept) {
  auto candidates = kernels::candidates(attend_desc(), 2, *device_).value();
  ASSERT_GT(candidates.size(), 1u);
  int count = 0;
  clock_.next = [&] {
    // Somebody else runs at first.
    return ++count < 15 ? 9'000.0 * (1 + count % 5) : 700.0;
  };
  Tuner tuner(clock_, cache_ / "tactics.json");
  EXPECT_THAT(tuner.time(attend_desc(), 2, candidates).value(), Each(700));
  EXPECT_EQ(tuner.num_unsteady(), 0);
  ASSERT_TRUE(tuner.save().ok());
  Tuner second(clock_, cache_ / "tactics.json");
  EXPECT_THAT(second.time(attend_desc(), 2, candidates).value(), Each(700));
  EXPECT_EQ(second.num_timed(), 0);
}

TEST_F(TunerTest, what_stays_disturbed_is_used_but_not_kept) {
  auto candidates = kernels::candidates(attend_desc(), 2, *device_).value();
  int count = 0;
  clock_.next = [&] { return 1000.0 * (1 + ++count % 3); };
  Tuner tuner(clock_, cache_ / "tactics.json");
  EXPECT_THAT(tuner.time(attend_desc(), 2, candidates).value(), Each(1000));
  EXPECT_EQ(tuner.num_unsteady(), std::ssize(candidates));
  ASSERT_TRUE(tuner.save().ok());
  clock_.next = [] { return 700.0; };
  Tuner second(clock_, cache_ / "tactics.json");
  EXPECT_THAT(second.time(attend_desc(), 2, candidates).value(), Each(700));
  EXPECT_EQ(second.num_from_cache(), 0);
}

/// Real kernels, whose making is counted.
int num_made = 0;
std::vector<kernels::Candidate> counted_candidates(device::Device& device) {
  static std::vector<kernels::Candidate> real;
  real = kernels::candidates(attend_desc(), 2, device).value();
  static const kernels::Tactic counted = {
      .name = "counted",
      .target = Target::kCpu,
      .make = [](const kernels::KernelDesc& desc, const Json& config, device::Device& device) {
        ++num_made;
        const kernels::Candidate& candidate = real.at(config.get<size_t>());
        return candidate.tactic->make(desc, candidate.config, device);
      }};
  return {{&counted, Json(0)}, {&counted, Json(1)}};
}

TEST_F(TunerTest, kernels_are_made_once_for_all_sizes_of_step) {
  kernels::KernelDesc desc = attend_desc();
  auto candidates = counted_candidates(*device_);
  const TunerQuestion questions[] = {{&desc, 2, &candidates}, {&desc, 3, &candidates}};
  Tuner tuner(*device_, {});
  num_made = 0;
  tuner.prepare(questions);
  EXPECT_EQ(num_made, 2);
  EXPECT_THAT(tuner.time(desc, 2, candidates).value(), Each(Gt(0)));
  EXPECT_THAT(tuner.time(desc, 3, candidates).value(), Each(Gt(0)));
  EXPECT_EQ(num_made, 2);
  tuner.prepare(questions);
  EXPECT_EQ(num_made, 2) << "what was timed is not made again";

  Tuner unprepared(*device_, {});
  ASSERT_TRUE(unprepared.time(desc, 2, candidates).ok());
  EXPECT_EQ(num_made, 4);
  Tuner measures_nothing(*device_, {}, /*measure=*/false);
  measures_nothing.prepare(questions);
  EXPECT_EQ(num_made, 4);
}

TEST_F(TunerTest, layers_are_timed_where_asked_for_and_not_timed_again) {
  engine::Plan plan = decoder_plan(*device_,
                                   small_decoder({0, 0, 0}),
                                   {.target = Target::kCpu, .disabled = {"fuse_rope_append"}});
  Layer layer = layer_of(plan).value();
  std::vector<std::vector<kernels::Candidate>> finalists(layer.num_problems);
  for (const LayerStep& step : layer.steps) {
    auto candidates = kernels::candidates(step.desc, 2, *device_).value();
    bool two = step.desc.op.name() == "attention" && finalists[step.problem].empty();
    candidates.resize(std::min<size_t>(candidates.size(), two ? 2 : 1));
    finalists[step.problem] = std::move(candidates);
  }
  ASSERT_EQ(finalists[0].size(), 2u);

  Tuner unasked(clock_, cache_ / "tactics.json");
  EXPECT_FALSE(unasked.asks_layers()) << "kernels of a host do not overlap";
  EXPECT_EQ(unasked.decide_in_layer(layer, finalists, 2).value()[0].layer_us, 0);
  EXPECT_EQ(unasked.num_timed(), 0);

  Tuner first(clock_, cache_ / "tactics.json");
  first.ask_layers(true);
  Verdict verdict = first.decide_in_layer(layer, finalists, 2).value()[0];
  EXPECT_GT(verdict.layer_us, 0);
  EXPECT_GT(verdict.rival_layer_us, 0);
  EXPECT_EQ(verdict.winner + verdict.rival, 1u);
  EXPECT_EQ(first.num_timed(), 1);
  ASSERT_TRUE(first.save().ok());

  Tuner second(clock_, cache_ / "tactics.json");
  second.ask_layers(true);
  Verdict again = second.decide_in_layer(layer, finalists, 2).value()[0];
  EXPECT_EQ(again.winner, verdict.winner);
  EXPECT_EQ(again.layer_us, verdict.layer_us);
  EXPECT_EQ(again.rival_layer_us, verdict.rival_layer_us);
  EXPECT_EQ(second.num_timed(), 0);
  // A step of another size, or other finalists, are another question.
  ASSERT_TRUE(second.decide_in_layer(layer, finalists, 3).ok());
  EXPECT_EQ(second.num_timed(), 1);
  std::swap(finalists[0][0], finalists[0][1]);
  ASSERT_TRUE(second.decide_in_layer(layer, finalists, 2).ok());
  EXPECT_EQ(second.num_timed(), 2);
}

TEST_F(TunerTest, a_layer_whose_times_differ_is_timed_again_and_not_kept) {
  engine::Plan plan = decoder_plan(*device_,
                                   small_decoder({0, 0, 0}),
                                   {.target = Target::kCpu, .disabled = {"fuse_rope_append"}});
  Layer layer = layer_of(plan).value();
  std::vector<std::vector<kernels::Candidate>> finalists(layer.num_problems);
  for (const LayerStep& step : layer.steps)
    finalists[step.problem] = {kernels::candidates(step.desc, 2, *device_).value()[0]};
  finalists[0].push_back(finalists[0][0]);
  int count = 0;
  clock_.next = [&] { return 1000.0 * (1 + ++count % 3); };
  for (int build = 0; build < 2; ++build) {
    Tuner tuner(clock_, cache_ / "tactics.json");
    tuner.ask_layers(true);
    count = 0;
    ASSERT_TRUE(tuner.decide_in_layer(layer, finalists, 2).ok());
    EXPECT_EQ(tuner.num_timed(), 1) << "also in the second build";
    EXPECT_EQ(tuner.num_unsteady(), 1);
    EXPECT_GT(count, 2 * 2 * 6) << "in more than one round of six replays";
    ASSERT_TRUE(tuner.save().ok());
  }
}

TEST_F(TunerTest, a_layer_that_cannot_run_leaves_what_was_fastest_alone) {
  engine::Plan plan = decoder_plan(*device_,
                                   small_decoder({0, 0, 0}),
                                   {.target = Target::kCpu, .disabled = {"fuse_rope_append"}});
  Layer layer = layer_of(plan).value();
  std::vector<std::vector<kernels::Candidate>> finalists(layer.num_problems);
  for (const LayerStep& step : layer.steps)
    finalists[step.problem] = {kernels::candidates(step.desc, 2, *device_).value()[0]};
  finalists[0].push_back({finalists[0][0].tactic, Json{{"no such", "config"}}});
  Tuner tuner(*device_, {});
  tuner.ask_layers(true);
  auto verdicts = tuner.decide_in_layer(layer, finalists, 2);
  ASSERT_TRUE(verdicts.ok()) << verdicts.error().text();
  for (const Verdict& verdict : *verdicts) {
    EXPECT_EQ(verdict.winner, 0u);
    EXPECT_EQ(verdict.layer_us, 0);
  }
  EXPECT_EQ(tuner.num_timed(), 0);
}

TEST_F(TunerTest, without_measuring_the_first_candidate_is_taken) {
  Tuner tuner(*device_, {}, /*measure=*/false);
  auto candidates = kernels::candidates(attend_desc(), 2, *device_).value();
  Timings us = tuner.time(attend_desc(), 2, candidates).value();
  EXPECT_EQ(us[0], 0);
  EXPECT_TRUE(std::isinf(us[1]));
}

}  // namespace
}  // namespace tokamak::compiler
