// SPDX-License-Identifier: Apache-2.0
// Steps that are launched before the tokens of the step before them are known, against the same
// steps one after the other: the same kernels run on the same numbers, so that every token is
// equal.
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "tokamak/api/sequence_runner_test.h"

namespace tokamak::api {
namespace {

constexpr int64_t kSequencePages = 4;

struct Sequence {
  std::vector<int32_t> tokens;  ///< Known ones.
  runtime::SamplingParams params;
  size_t prompt_size = 0;
  std::vector<int32_t> pages = {};
  int64_t num_computed = 0;
  int32_t row = -1;                       ///< Of the step under way that samples its next token.
  std::optional<int64_t> undecided = {};  ///< The first token that was; those behind it are void.
  std::vector<float> logprobs = {};       ///< Of its tokens and of the best ones, if it asks.
};

/// Half of them greedy, the others of every kind that the device draws; most with penalties and
/// other changes of their logits.
std::vector<Sequence> sequences(int64_t count, int64_t vocab) {
  std::vector<Sequence> out;
  for (int64_t s = 0; s < count; ++s) {
    Sequence sequence;
    for (int64_t i = 0; i < 3 + 7 * (s % 5); ++i)
      sequence.tokens.push_back(static_cast<int32_t>((s * 131 + i * 37 + 5) % vocab));
    sequence.params.temperature = s % 2 ? 0.9f : 0.0f;
    sequence.params.top_k = s % 4 == 1 ? 20 : 0;
    sequence.params.top_p = s % 3 == 1 ? 0.9f : 1.0f;
    sequence.prompt_size = sequence.tokens.size();
    if (s % 3 != 0) {
      sequence.params.repetition_penalty = 1.3f;
      sequence.params.frequency_penalty = 0.2f;
    }
    if (s % 5 == 2) {
      sequence.params.logit_bias = {{sequence.tokens[0], 3.0f}};
      for (int32_t token = 0; token < 60; ++token)
        sequence.params.bad_words.push_back({token, static_cast<int32_t>((token * 7 + s) % vocab)});
    }
    if (s % 5 == 4) {
      for (int32_t token = 5; token < vocab; token += 3)
        sequence.params.allowed_token_ids.push_back(token);
    }
    if (s % 4 == 2) sequence.params.logprobs = 5;
    if (s % 8 >= 6) sequence.params.logprob_token_ids = {sequence.tokens[0], 7, 300};
    for (int32_t page = 0; page < kSequencePages; ++page)
      sequence.pages.push_back(static_cast<int32_t>(s * kSequencePages) + page);
    out.push_back(std::move(sequence));
  }
  return out;
}

class Runner {
 public:
  Runner(runtime::Session& session, int64_t count, bool overlap)
      : session_(session),
        overlap_(overlap),
        sequences_(sequences(count, session.info().vocab_size)) {}

  /// One step more of those named, in that order.
  void step(const std::vector<size_t>& who) {
    std::vector<int32_t> ids, positions, rows;
    std::vector<op::SequenceSpan> spans;
    std::vector<runtime::SampleRow> samples;
    for (size_t s : who) {
      Sequence& sequence = sequences_[s];
      const int64_t first = sequence.num_computed;
      const int64_t end = std::max<int64_t>(std::ssize(sequence.tokens), first + 1);
      spans.push_back({static_cast<int32_t>(ids.size()),
                       static_cast<int32_t>(end - first),
                       static_cast<int32_t>(first),
                       sequence.pages});
      for (int64_t i = first; i < end; ++i) {
        ids.push_back(i < std::ssize(sequence.tokens) ? sequence.tokens[static_cast<size_t>(i)]
                                                      : runtime::unknown_token(sequence.row));
        num_unknown += ids.back() < 0;
        positions.push_back(static_cast<int32_t>(i));
      }
      const std::span<const int32_t> known(sequence.tokens);
      samples.push_back({static_cast<int32_t>(rows.size()),
                         {.params = &sequence.params,
                          .prompt = known.first(sequence.prompt_size),
                          .output = known.subspan(sequence.prompt_size),
                          .seed = 40 + s,
                          .position = end}});
      rows.push_back(static_cast<int32_t>(ids.size()) - 1);
      sequence.num_computed = end;
    }
    auto launched = session_.launch({ids, positions, spans, rows, samples});
    ASSERT_TRUE(launched.ok()) << launched.error().text();
    // What is launched is the session's; these may be gone.
    std::fill(ids.begin(), ids.end(), -77);
    std::fill(positions.begin(), positions.end(), -77);
    if (overlap_ && !under_way_.empty()) finish();
    for (size_t i = 0; i < who.size(); ++i) sequences_[who[i]].row = static_cast<int32_t>(i);
    under_way_ = who;
    if (!overlap_) finish();
  }
  void finish() {
    auto output = session_.finish();
    ASSERT_TRUE(output.ok()) << output.error().text();
    for (size_t i = 0; i < under_way_.size(); ++i) {
      ASSERT_TRUE(output->samples[i].ok()) << output->samples[i].error().text();
      Sequence& sequence = sequences_[under_way_[i]];
      const int32_t token = output->samples[i]->token;
      if (token == runtime::kUndecided && !sequence.undecided)
        sequence.undecided = std::ssize(sequence.tokens);
      sequence.tokens.push_back(std::max(token, 0));
      if (!sequence.params.asks_logprobs() || sequence.undecided) continue;
      sequence.logprobs.push_back(output->samples[i]->logprob);
      for (const runtime::TokenLogprob& best : output->samples[i]->top_logprobs)
        sequence.logprobs.push_back(best.logprob);
    }
    under_way_.clear();
  }
  const Sequence& sequence(size_t s) const { return sequences_[s]; }

  int64_t num_unknown = 0;

 private:
  runtime::Session& session_;
  bool overlap_;
  std::vector<Sequence> sequences_;
  std::vector<size_t> under_way_;
};

TEST(StepsUnderWayOnGpu, GiveTheTokensOfStepsOneAfterTheOther) {
  auto device = device::open_device(Target::kCuda);
  if (!device.ok()) GTEST_SKIP() << "SKIPPED: " << device.error().text();
  constexpr size_t kCount = 13;
  for (const char* dtype : {"float32", "bfloat16"}) {
    auto engine = build_engine(
        "models/storyteller", **device, {.target = Target::kCuda, .dtype = dtype, .tune = false});
    ASSERT_TRUE(engine.ok()) << engine.error().text();
    auto session = runtime::open_session(
        *engine,
        *device,
        {.max_step_tokens = 256, .max_sequences = 16, .kv_tokens = kCount * kSequencePages * 64});
    ASSERT_TRUE(session.ok()) << session.error().text();
    ASSERT_EQ((*session)->info().max_under_way, 2);
    Runner plain(**session, kCount, false), overlapped(**session, kCount, true);
    for (Runner* runner : {&plain, &overlapped}) {
      std::mt19937 random(3);
      std::vector<size_t> who = {0, 1, 2};
      for (int step = 0; step < 120 && !testing::Test::HasFatalFailure(); ++step) {
        // Decodes of many sizes, in any order, some left out; now and then a prompt comes with
        // them.
        std::shuffle(who.begin(), who.end(), random);
        const size_t size = std::max<size_t>(1, who.size() - random() % 3);
        runner->step({who.begin(), who.begin() + static_cast<std::ptrdiff_t>(size)});
        if (step % 9 == 8 && who.size() < kCount) who.push_back(who.size());
      }
      if (runner == &overlapped) runner->finish();
    }
    EXPECT_EQ(plain.num_unknown, 0);
    EXPECT_GT(overlapped.num_unknown, 500);
    int num_undecided = 0;
    for (size_t s = 0; s < kCount; ++s) {
      std::vector<int32_t> expected = plain.sequence(s).tokens, got = overlapped.sequence(s).tokens;
      if (auto first = overlapped.sequence(s).undecided) {
        ++num_undecided;
        expected.resize(static_cast<size_t>(*first));
        got.resize(static_cast<size_t>(*first));
      }
      EXPECT_EQ(expected, got) << dtype << ", sequence " << s;
      const std::vector<float>& logprobs = overlapped.sequence(s).logprobs;
      EXPECT_EQ(logprobs.empty(), s % 4 != 2 && s % 8 != 7);
      for (size_t i = 0; i < logprobs.size(); ++i)
        ASSERT_NEAR(logprobs[i], plain.sequence(s).logprobs.at(i), 1e-4) << dtype << " " << s;
    }
    EXPECT_LE(num_undecided, 2);
  }
}

TEST(StepsUnderWayOnGpu, TheHostNeverSamplesByAHistoryThatLacksAToken) {
  auto device = device::open_device(Target::kCuda);
  if (!device.ok()) GTEST_SKIP() << "SKIPPED: " << device.error().text();
  auto engine = build_engine(
      "models/storyteller", **device, {.target = Target::kCuda, .dtype = "float32", .tune = false});
  ASSERT_TRUE(engine.ok()) << engine.error().text();
  auto session = runtime::open_session(
      *engine, *device, {.max_step_tokens = 64, .max_sequences = 2, .kv_tokens = 128});
  ASSERT_TRUE(session.ok()) << session.error().text();
  // The device leaves so large a top_k to the host.
  const runtime::SamplingParams params{
      .temperature = 0.9f, .top_k = 600, .repetition_penalty = 1.4f, .frequency_penalty = 0.5f};
  const std::vector<int32_t> pages = {0, 1};
  std::vector<int32_t> tokens = {5, 9, 5, 33, 9};
  const size_t prompt_size = 4;
  /// Computes the tokens from `first` on, the last of which may be unknown.
  auto launch = [&](size_t first, bool unknown, bool wants_logits) {
    std::vector<int32_t> ids(tokens.begin() + static_cast<std::ptrdiff_t>(first), tokens.end());
    if (unknown) ids.push_back(runtime::unknown_token(0));
    std::vector<int32_t> positions(ids.size());
    std::iota(positions.begin(), positions.end(), static_cast<int32_t>(first));
    const auto count = static_cast<int32_t>(ids.size());
    const std::vector<int32_t> rows = {count - 1};
    const std::vector<op::SequenceSpan> spans = {{0, count, static_cast<int32_t>(first), pages}};
    const std::span<const int32_t> known(tokens);
    const std::vector<runtime::SampleRow> samples = {{0,
                                                      {.params = &params,
                                                       .prompt = known.first(prompt_size),
                                                       .output = known.subspan(prompt_size),
                                                       .seed = 8,
                                                       .position = positions.back() + 1}}};
    auto launched = (*session)->launch({ids, positions, spans, rows, samples, wants_logits});
    ASSERT_TRUE(launched.ok()) << launched.error().text();
  };
  auto finish = [&] { return (*session)->finish().value(); };
  auto token_of = [](const runtime::StepOutput& output) { return output.samples[0]->token; };

  launch(0, false, false);
  launch(tokens.size(), true, false);
  EXPECT_EQ(token_of(finish()), runtime::kUndecided) << "its logits are gone";
  EXPECT_EQ(token_of(finish()), runtime::kUndecided) << "its logits are there, a token is not";
  for (int i = 0; i < 5; ++i) {
    launch(tokens.size() - 1, false, true);
    const runtime::StepOutput output = finish();
    const auto* logits = static_cast<const float*>(output.logits.data);
    std::vector<float> scratch;
    const std::span<const int32_t> known(tokens);
    auto expected = runtime::sample({logits, static_cast<size_t>((*session)->info().vocab_size)},
                                    {.params = &params,
                                     .prompt = known.first(prompt_size),
                                     .output = known.subspan(prompt_size),
                                     .seed = 8,
                                     .position = std::ssize(tokens)},
                                    scratch);
    ASSERT_TRUE(expected.ok()) << expected.error().text();
    EXPECT_EQ(token_of(output), expected->token);
    tokens.push_back(expected->token);
  }
}

TEST(StepsUnderWayOnGpu, NamedTokensAreScoredByTheLogitsOfTheirStep) {
  auto device = device::open_device(Target::kCuda);
  if (!device.ok()) GTEST_SKIP() << "SKIPPED: " << device.error().text();
  auto engine = build_engine(
      "models/storyteller", **device, {.target = Target::kCuda, .dtype = "float32", .tune = false});
  ASSERT_TRUE(engine.ok()) << engine.error().text();
  auto session = runtime::open_session(
      *engine, *device, {.max_step_tokens = 64, .max_sequences = 2, .kv_tokens = 128});
  ASSERT_TRUE(session.ok()) << session.error().text();
  const auto vocab = static_cast<size_t>((*session)->info().vocab_size);
  const runtime::SamplingParams named{
      .temperature = 0, .logprob_token_ids = {300, 7, 300, static_cast<int32_t>(vocab - 1)}};
  const runtime::SamplingParams both{
      .temperature = 0, .logprobs = 4, .logprob_token_ids = {300, 7, 5}};
  const std::vector<std::vector<int32_t>> pages = {{0}, {1}};
  const std::vector<int32_t> prompt = {5, 9, 5, 33, 9};
  /// The prompt twice, or behind it the tokens that the step before chooses.
  auto launch = [&](int32_t behind, bool wants_logits) {
    std::vector<int32_t> ids, positions, rows;
    std::vector<op::SequenceSpan> spans;
    std::vector<runtime::SampleRow> samples;
    for (int32_t s : {0, 1}) {
      const auto first = static_cast<int32_t>(ids.size());
      const int32_t context = behind > 0 ? static_cast<int32_t>(prompt.size()) + behind - 1 : 0;
      if (behind > 0) {
        ids.push_back(runtime::unknown_token(s));
      } else {
        ids.insert(ids.end(), prompt.begin(), prompt.end());
      }
      const int32_t count = static_cast<int32_t>(ids.size()) - first;
      for (int32_t i = 0; i < count; ++i) positions.push_back(context + i);
      spans.push_back({first, count, context, pages[static_cast<size_t>(s)]});
      rows.push_back(first + count - 1);
      samples.push_back(
          {s, {.params = s ? &both : &named, .prompt = prompt, .position = context + count}});
    }
    auto launched = (*session)->launch({ids, positions, spans, rows, samples, wants_logits});
    ASSERT_TRUE(launched.ok()) << launched.error().text();
  };
  std::vector<std::vector<runtime::Sampled>> got;
  auto finish = [&] {
    auto output = (*session)->finish();
    ASSERT_TRUE(output.ok()) << output.error().text();
    auto& samples = got.emplace_back();
    for (auto& sample : output->samples) samples.push_back(std::move(sample).value());
    if (!output->logits.data) return;
    const auto* logits = static_cast<const float*>(output->logits.data);
    std::vector<float> scratch;
    for (size_t s : {0, 1}) {
      const auto expected = runtime::sample(
          {logits + s * vocab, vocab}, {.params = s ? &both : &named, .prompt = prompt}, scratch);
      ASSERT_EQ(samples[s].top_logprobs.size(), expected->top_logprobs.size());
      EXPECT_GE(samples[s].top_logprobs.size(), 3u);
      EXPECT_EQ(samples[s].token, expected->token);
      EXPECT_NEAR(samples[s].logprob, expected->logprob, 1e-4);
      for (size_t i = 0; i < expected->top_logprobs.size(); ++i) {
        EXPECT_EQ(samples[s].top_logprobs[i].token, expected->top_logprobs[i].token);
        EXPECT_NEAR(samples[s].top_logprobs[i].logprob, expected->top_logprobs[i].logprob, 1e-4);
      }
    }
  };
  auto expect_same = [](const runtime::Sampled& a, const runtime::Sampled& b) {
    EXPECT_EQ(a.token, b.token);
    ASSERT_EQ(a.top_logprobs.size(), b.top_logprobs.size());
    for (size_t i = 0; i < a.top_logprobs.size(); ++i) {
      EXPECT_EQ(a.top_logprobs[i].token, b.top_logprobs[i].token);
      EXPECT_NEAR(a.top_logprobs[i].logprob, b.top_logprobs[i].logprob, 1e-4);
    }
  };
  // With their logits, each alone; then one behind the other, so that each overwrites the logits
  // of the one before it.
  launch(0, true);
  finish();
  launch(0, false);
  for (int32_t behind = 1; behind < 6; ++behind) {
    launch(behind, false);
    finish();
  }
  launch(6, true);
  finish();
  finish();
  ASSERT_EQ(got.size(), 8u);
  for (size_t s : {0, 1}) expect_same(got[0][s], got[1][s]);
}

TEST(StepsUnderWayOnGpu, DecodeAsIfStepByStep) {
  auto device = device::open_device(Target::kCuda);
  if (!device.ok()) GTEST_SKIP() << "SKIPPED: " << device.error().text();
  for (const char* dtype : {"float32", "bfloat16"}) expect_decode_is_append(*device, dtype);
}

}  // namespace
}  // namespace tokamak::api
