// SPDX-License-Identifier: Apache-2.0
// The step loop on one thread with a fake session and a clock that is set: every test here is
// deterministic.
#include "tokamak/executor/step_loop.h"

#include <array>
#include <numeric>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/step_loop_test.h"

namespace tokamak::executor {
namespace {

using std::chrono::seconds;

class Loop : public StepsUnderWay {};
TKM_TEST_STEPS_UNDER_WAY(Loop);

TEST_P(Loop, APromptIsComputedInChunksWhileOthersAnswer) {
  Bench bench;
  auto talking = bench.submit(request_of(prompt_of(5, 1), 50));
  bench.turn();
  EXPECT_EQ(talking->next(seconds(0))->tokens.size(), 1u);
  auto long_prompt = bench.submit(request_of(prompt_of(200, 2), 4));
  for (int i = 0; i < 1 + GetParam(); ++i) {
    bench.turn();
    EXPECT_EQ(talking->next(seconds(0))->tokens.size(), 1u) << "the answer goes on in each step";
    EXPECT_TRUE(long_prompt->next(seconds(0))->tokens.empty());
  }
  bench.turn();
  EXPECT_EQ(long_prompt->next(seconds(0))->tokens,
            FakeSession::answer(prompt_of(200, 2), 1, kVocab));
  bench.finish();
  EXPECT_EQ(bench.stats().prompt_tokens, 205);
  EXPECT_EQ(bench.stats().output_tokens, 54);
}

TEST_P(Loop, StepsAreCountedByTheTokensThatTheyCompute) {
  Bench bench;
  // Chunks of 96, 96 and 8 tokens, then 19 decodes.
  bench.answer(request_of(prompt_of(200, 1), 20));
  StepTokens counted = bench.stats().step_tokens;
  EXPECT_EQ(counted.steps, (std::array<int64_t, 14>{19, 1, 0, 0, 0, 2}));
  EXPECT_EQ(counted.sum, 200 + 19);
  EXPECT_EQ(counted.sum, bench.session->num_tokens);
  // A step that fails computes nothing; what was in it is tried again.
  bool fails = true;
  bench.session->on_finish = [&]() -> Result<void> {
    if (std::exchange(fails, false)) return base::internal_error("no");
    return {};
  };
  bench.answer(request_of({7}, 1));
  counted = bench.stats().step_tokens;
  EXPECT_EQ(std::accumulate(counted.steps.begin(), counted.steps.end(), int64_t{0}),
            bench.stats().steps - bench.stats().failed_steps);
}

TEST(StepTokens, ABoundIsInItsBucket) {
  StepTokens counted;
  for (int64_t tokens : {1, 2, 8, 9, 16384, 16385}) counted.add(tokens);
  EXPECT_EQ(counted.steps, (std::array<int64_t, 14>{1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(counted.sum, 1 + 2 + 8 + 9 + 16384 + 16385);
}

TEST_P(Loop, WhenPagesRunOutTheYoungestIsPreemptedAndItsAnswerIsTheSame) {
  Bench bench;
  // Six requests that grow to 4 pages each, in 12 pages.
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 6; ++i) {
    streams.push_back(bench.submit(request_of(prompt_of(60, i), 180)));
    bench.time += seconds(1);
  }
  bench.finish();
  EXPECT_GT(bench.stats().preemptions, 0);
  EXPECT_EQ(bench.stats().pages_used, 0);
  int64_t preemptions = 0;
  for (int i = 0; i < 6; ++i) {
    const Response all = collect(*streams[i]);
    preemptions += all.finish->num_preemptions;
    if (i == 0) {
      EXPECT_EQ(preemptions, 0) << "the eldest always runs";
    }
    EXPECT_EQ(all.tokens, FakeSession::answer(prompt_of(60, i), 180, kVocab)) << i;
    EXPECT_EQ(all.finish->reason, FinishReason::kLength);
    EXPECT_EQ(all.finish->usage.prompt_tokens, 60);
    EXPECT_EQ(all.finish->usage.completion_tokens, 180);
  }
  EXPECT_EQ(preemptions, bench.stats().preemptions) << "each is one answer's";
}

TEST_P(Loop, PriorityGoesFirstButNobodyWaitsForever) {
  ExecutorOptions options;
  options.max_running = 1;
  options.priority_seconds = 10;
  Bench bench(kSmall, options);
  auto running = bench.submit(request_of({1}, 3));
  bench.turn();
  auto low = bench.submit(request_of({2}, 1));
  Request urgent = request_of({3}, 1);
  urgent.priority = 1;
  auto high = bench.submit(urgent);
  bench.turn(GetParam());
  EXPECT_TRUE(high->next(seconds(0))->finish) << "it takes the place of the one that runs";
  EXPECT_FALSE(low->next(seconds(0))->finish);
  // Ten seconds later, a request of priority 1 is no better than one that came ten seconds before.
  bench.time += seconds(11);
  auto late = bench.submit(urgent);
  while (!running->next(seconds(0))->finish) bench.turn();
  bench.turn();
  EXPECT_TRUE(low->next(seconds(0))->finish);
  EXPECT_FALSE(late->next(seconds(0))->finish);
}

TEST_P(Loop, CancelEndsARequestInEveryState) {
  ExecutorOptions options;
  options.max_running = 1;
  Bench bench(kSmall, options);
  auto prefilling = bench.submit(request_of(prompt_of(300, 1), 10));
  bench.turn();
  EXPECT_GT(bench.stats().pages_used, 0);
  auto queued = bench.submit(request_of({1}, 10));
  auto never_seen = bench.submit(request_of({1}, 10));
  never_seen->cancel();
  prefilling->cancel();
  bench.turn(GetParam());
  EXPECT_EQ(collect(*prefilling).finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(collect(*never_seen).finish->reason, FinishReason::kCancelled);
  auto part = queued->next(seconds(0));
  EXPECT_EQ(part->tokens.size(), 1u);
  queued->cancel();
  bench.turn();
  EXPECT_EQ(collect(*queued).finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(bench.stats().pages_used, 0);
  EXPECT_EQ(bench.waiting(), 0);
  EXPECT_FALSE(queued->next()) << "nothing follows the last response";
}

TEST_P(Loop, DestroyingTheStreamFreesThePagesWithinOneTurn) {
  Bench bench;
  auto stream = bench.submit(request_of(prompt_of(90, 1), 100));
  bench.turn(3);
  EXPECT_EQ(bench.stats().pages_used, 2);
  stream.reset();
  bench.turn();
  EXPECT_EQ(bench.stats().pages_used, 0);
  EXPECT_EQ(bench.stats().finished[static_cast<size_t>(FinishReason::kCancelled)], 1);
}

TEST_P(Loop, ADeadlineEndsRunningAndWaitingRequests) {
  ExecutorOptions options;
  options.max_running = 1;
  Bench bench(kSmall, options);
  Request request = request_of({1, 2}, 100);
  request.deadline = bench.time + seconds(5);
  auto running = bench.submit(request);
  request.deadline = bench.time + seconds(3);
  auto waiting = bench.submit(request);
  auto patient = bench.submit(request_of({3}, 2));
  bench.turn(2);
  bench.time += seconds(3);
  bench.turn();
  EXPECT_EQ(collect(*waiting).finish->reason, FinishReason::kDeadline);
  bench.time += seconds(2);
  bench.turn(3);
  const Response all = collect(*running);
  EXPECT_EQ(all.finish->reason, FinishReason::kDeadline);
  EXPECT_EQ(all.tokens.size(), 3u) << "what was said before it stays";
  EXPECT_EQ(collect(*patient).finish->reason, FinishReason::kLength);
}

TEST_P(Loop, TimingHoldsTheStationsOfARequest) {
  Bench bench;
  const TimePoint start = bench.time;
  bench.session->on_step = [&](const runtime::Step&) -> Result<void> {
    bench.time += seconds(1);
    return {};
  };
  auto stream = bench.submit(request_of({1, 2}, 3));
  bench.time += seconds(5);
  bench.finish();
  const Timing timing = collect(*stream).finish->timing;
  EXPECT_EQ(timing.arrival, start);
  EXPECT_EQ(timing.admission, start + seconds(5));
  EXPECT_EQ(timing.first_token, start + seconds(5 + GetParam()));
  EXPECT_EQ(timing.last_token, start + seconds(8));
  EXPECT_EQ(timing.finish, start + seconds(8));
  EXPECT_DOUBLE_EQ(bench.stats().step_seconds, 3);
}

TEST_P(Loop, AnErrorOfARowFailsItsRequestAlone) {
  Bench bench;
  auto good = bench.submit(request_of({1}, 5));
  auto bad = bench.submit(request_of({2}, 5));
  bench.session->on_sample = [](const runtime::SampleRow& row) {
    std::optional<Result<runtime::Sampled>> chosen;
    if (row.context.prompt[0] == 2 && row.context.position == 3) {
      chosen = base::internal_error("the logits for position 3 have NaN or infinity");
    }
    return chosen;
  };
  bench.finish();
  const Response failed = collect(*bad);
  EXPECT_EQ(failed.finish->reason, FinishReason::kError);
  EXPECT_EQ(failed.finish->error->message, "the logits for position 3 have NaN or infinity");
  EXPECT_EQ(failed.tokens.size(), 2u);
  EXPECT_EQ(collect(*good).tokens, FakeSession::answer({1}, 5, kVocab));
}

TEST_P(Loop, AnErrorOfAStepFailsTheRequestsInItAndNoOther) {
  for (bool throws : {false, true}) {
    ExecutorOptions options;
    options.max_running = 1;
    Bench bench(kSmall, options);
    auto bad = bench.submit(request_of({1}, 5));
    auto good = bench.submit(request_of({2}, 5));
    bench.session->on_step = [&](const runtime::Step& step) -> Result<void> {
      if (bench.session->num_steps < 2 || step.samples[0].context.prompt[0] != 1) return {};
      if (throws) throw base::CheckFailure("pages in range");
      return base::invalid("a table of pages is too short");
    };
    bench.finish();
    const Response failed = collect(*bad);
    EXPECT_EQ(failed.finish->reason, FinishReason::kError);
    EXPECT_EQ(failed.finish->error->code, throws ? ErrorCode::kInternal : ErrorCode::kInvalid);
    EXPECT_EQ(failed.tokens.size(), 2u);
    EXPECT_EQ(collect(*good).tokens, FakeSession::answer({2}, 5, kVocab));
    EXPECT_EQ(bench.stats().pages_used, 0);
  }
}

/// A tokenizer that fails on one token.
class BrokenTokenizer : public FakeTokenizer {
 public:
  using FakeTokenizer::FakeTokenizer;
  text::TokenPiece piece(text::TokenId id, bool first, bool last) const override {
    TKM_CHECK(id != 7, "token {}", id);
    return FakeTokenizer::piece(id, first, last);
  }
};

TEST_P(Loop, AFailureWhileTextIsMadeFailsItsRequestAlone) {
  Bench bench;
  bench.tokenizer = std::make_shared<BrokenTokenizer>(std::vector<std::string>(kVocab, "x"));
  auto good = bench.submit(request_of({1}, 5));
  auto bad = bench.submit(request_of({2}, 5));
  bench.session->on_sample = [](const runtime::SampleRow& row) {
    runtime::Sampled sampled;
    sampled.token = row.context.prompt[0] == 2 && row.context.position == 2 ? 7 : 3;
    return std::optional<Result<runtime::Sampled>>(sampled);
  };
  bench.finish();
  EXPECT_EQ(collect(*bad).finish->reason, FinishReason::kError);
  EXPECT_EQ(collect(*good).text, "xxxxx");
}

TEST_P(Loop, LogprobsComeWithTheirTokens) {
  Bench bench;
  Request request = request_of({1}, 3);
  request.sampling.logprobs = 1;
  auto stream = bench.submit(request);
  bench.session->on_sample = [](const runtime::SampleRow& row) {
    runtime::Sampled sampled;
    sampled.token = static_cast<int32_t>(row.context.position);
    sampled.logprob = -1.5f;
    sampled.top_logprobs = {{4, -0.5f}};
    return std::optional<Result<runtime::Sampled>>(sampled);
  };
  bench.finish();
  const Response all = collect(*stream);
  ASSERT_EQ(all.logprobs.size(), all.tokens.size());
  EXPECT_EQ(all.logprobs[2].logprob, -1.5f);
  EXPECT_EQ(all.logprobs[2].top[0].token, 4);
}

TEST_P(Loop, RunsNoMoreThanEveryLimitAllows) {
  runtime::SessionInfo info = kSmall;
  info.max_step_rows = 3;
  info.max_sequences = 5;
  ExecutorOptions options;
  options.budget_tokens = 4;
  EXPECT_EQ(capacity_limits(options, info).max_running, 3);
  EXPECT_EQ(batch_limits(options, info).budget_tokens, 4);
  options.budget_tokens = 2;
  EXPECT_EQ(capacity_limits(options, info).max_running, 2);
  Bench bench(info, options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 10; ++i) streams.push_back(bench.submit(request_of(prompt_of(20, i), 10)));
  bench.finish();  // The fake session checks its limits.
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(collect(*streams[i]).tokens, FakeSession::answer(prompt_of(20, i), 10, kVocab));
  }
}

}  // namespace
}  // namespace tokamak::executor
