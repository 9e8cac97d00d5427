// SPDX-License-Identifier: Apache-2.0
// Two steps under way: what is launched before the tokens of the step before it are known, and what
// becomes of it when they turn out to be otherwise.
#include <deque>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/step_loop_test.h"

namespace tokamak::executor {
namespace {

using std::chrono::seconds;
using testing::ElementsAreArray;

class Overlap : public testing::Test {
 protected:
  void SetUp() override { Bench::max_under_way = 2; }
};

std::vector<int32_t> answer_to(const std::vector<int32_t>& prompt, int64_t count) {
  return FakeSession::answer(prompt, count, kVocab);
}

TEST_F(Overlap, AStepIsLaunchedBeforeTheOneBeforeItIsFinished) {
  for (bool overlap : {false, true}) {
    Bench bench(kSmall, {.overlap = overlap});
    std::string order;
    bench.session->on_step = [&](const runtime::Step& step) -> Result<void> {
      order += step.token_ids[0] < 0 ? '?' : 'L';
      return {};
    };
    bench.session->on_finish = [&]() -> Result<void> {
      order += 'F';
      return {};
    };
    EXPECT_EQ(bench.answer(request_of({1, 2, 3}, 5)).tokens, answer_to({1, 2, 3}, 5));
    EXPECT_EQ(order, overlap ? "L?F?F?F?FF" : "LFLFLFLFLF");
    EXPECT_EQ(bench.session->num_tokens, 7) << "no token behind the last one is computed";
  }
}

TEST_F(Overlap, WhatFollowsAStopTokenIsDropped) {
  Bench bench;
  const auto expected = answer_to({1, 2}, 100);
  Request request = request_of({1, 2}, 100);
  request.sampling.stop_token_ids = {expected[6]};
  auto stopping = bench.submit(request);
  auto other = bench.submit(request_of({3}, 30));
  bench.finish();
  const Response all = collect(*stopping);
  EXPECT_EQ(all.finish->reason, FinishReason::kStop);
  EXPECT_EQ(all.tokens, std::vector(expected.begin(), expected.begin() + 7));
  EXPECT_EQ(all.finish->usage.completion_tokens, 7);
  EXPECT_EQ(collect(*other).tokens, answer_to({3}, 30));
  EXPECT_EQ(bench.session->num_tokens, 2 + 6 + 1 + 1 + 29) << "one token too many was computed";
  EXPECT_EQ(bench.stats().output_tokens, 37);
  EXPECT_EQ(bench.stats().pages_used, 0);
}

TEST_F(Overlap, APageIsNotPublishedWithWhatFollowsAStop) {
  Bench bench;
  // The token too many is the last of the second page.
  auto prompt = prompt_of(120, 1);
  const auto expected = answer_to(prompt, 8);
  Request request = request_of(prompt, 100);
  request.sampling.stop_token_ids = {expected[7]};
  prompt.insert(prompt.end(), expected.begin(), expected.end());
  EXPECT_EQ(bench.answer(request).tokens, expected);
  EXPECT_EQ(bench.stats().pages_cached, 1);
  // The next turn of the conversation has another token there.
  prompt.back() = (prompt.back() + 1) % kVocab;
  prompt.push_back(7);
  const Response next = bench.answer(request_of(prompt, 5));
  EXPECT_EQ(next.finish->usage.cached_tokens, 64);
  EXPECT_EQ(next.tokens, answer_to(prompt, 5));
}

TEST_F(Overlap, PagesOfWhoLeavesWithAStepUnderWayGoToOthersAtOnce) {
  runtime::SessionInfo info = kSmall;
  info.num_pages = 2;
  Bench bench(info);
  auto leaving = bench.submit(request_of(prompt_of(60, 1), 60));
  bench.turn(3);
  leaving->cancel();
  auto next = bench.submit(request_of(prompt_of(90, 2), 30));
  bench.turn();
  EXPECT_EQ(collect(*leaving).finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(bench.stats().pages_used, 2) << "its prompt is under way behind the step of the other";
  bench.finish();
  EXPECT_EQ(collect(*next).tokens, answer_to(prompt_of(90, 2), 30));
}

TEST_F(Overlap, NobodyIsPreemptedForWhoIsAboutToEnd) {
  runtime::SessionInfo info = kSmall;
  info.num_pages = 2;
  Bench bench(info);
  // Both fill their page; the first stops with the token that would need a second one.
  const auto expected = answer_to(prompt_of(60, 1), 5);
  Request request = request_of(prompt_of(60, 1), 60);
  request.sampling.stop_token_ids = {expected[4]};
  auto first = bench.submit(request);
  auto second = bench.submit(request_of(prompt_of(30, 2), 60));
  bench.finish();
  EXPECT_EQ(collect(*first).tokens, expected);
  EXPECT_EQ(collect(*second).tokens, answer_to(prompt_of(30, 2), 60));
  EXPECT_EQ(bench.stats().preemptions, 0);
}

TEST_F(Overlap, StepsWithTokensThatTheHostChoosesAreNotFollowed) {
  Bench bench;
  auto device = bench.submit(request_of({1}, 40));
  bench.turn(3);
  const int64_t followed = bench.session->num_followed;
  EXPECT_EQ(followed, 3);
  Request request = request_of({2}, 10);
  request.sampling.logprobs = 0;
  auto host = bench.submit(request);
  Request penalized = request_of({3}, 10);
  penalized.sampling.presence_penalty = 1;
  auto other = bench.submit(penalized);
  Request waiting = request_of({4}, 10);
  waiting.sampling.min_tokens = 3;
  waiting.sampling.stop_token_ids = {499};
  auto patient = bench.submit(waiting);
  while (!host->next(seconds(0))->finish) bench.turn();
  EXPECT_EQ(bench.session->num_followed, followed + 1) << "only by the first of their steps";
  bench.finish();
  EXPECT_GT(bench.session->num_followed, followed + 15) << "overlap goes on without them";
  EXPECT_EQ(collect(*device).tokens, answer_to({1}, 40));
  EXPECT_EQ(collect(*other).tokens, answer_to({3}, 10));
  EXPECT_EQ(collect(*patient).tokens, answer_to({4}, 10));
}

TEST_F(Overlap, PromptChunksFollowEachOtherAndTheirFirstTokenThem) {
  Bench bench;
  const auto prompt = prompt_of(300, 3);
  EXPECT_EQ(bench.answer(request_of(prompt, 4)).tokens, answer_to(prompt, 4));
  EXPECT_EQ(bench.session->num_steps, 4 + 3);
  EXPECT_EQ(bench.session->num_followed, 4 + 3 - 1);
}

TEST_F(Overlap, AStepThatFailsWithAnotherBehindItHurtsNobody) {
  for (bool throws : {false, true}) {
    Bench bench;
    int finishes = 0;
    bench.session->on_finish = [&]() -> Result<void> {
      if (++finishes != 4) return {};
      if (throws) throw base::CheckFailure("a hiccup");
      return base::out_of_memory("a hiccup");
    };
    auto alone = bench.submit(request_of(prompt_of(63, 1), 20));
    bench.turn(2);
    auto late = bench.submit(request_of(prompt_of(70, 2), 20));
    bench.finish();
    EXPECT_EQ(collect(*alone).tokens, answer_to(prompt_of(63, 1), 20));
    EXPECT_EQ(collect(*late).tokens, answer_to(prompt_of(70, 2), 20));
    EXPECT_EQ(bench.stats().failed_steps, 1);
    EXPECT_EQ(bench.stats().output_tokens, 40);
    EXPECT_EQ(bench.stats().pages_used, 0);
  }
}

TEST_F(Overlap, TheCauseOfAFailureUnderWayIsFoundAndEndsAlone) {
  Bench bench;
  // A kernel fails for a sequence of token 3 at its fourth position, whose step is followed.
  bool failing = false;
  std::deque<bool> bad;
  bench.session->on_step = [&](const runtime::Step& step) -> Result<void> {
    failing = false;
    for (const auto& row : step.samples)
      failing |= row.context.prompt[0] == 3 && row.context.position == 4;
    bad.push_back(failing);
    return {};
  };
  bench.session->on_finish = [&]() -> Result<void> {
    const bool fails = bad.front();
    bad.pop_front();
    if (fails) return base::internal_error("no 3, please");
    return {};
  };
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(bench.submit(request_of({i}, 10)));
  bench.finish();
  for (int i = 0; i < 8; ++i) {
    const Response all = collect(*streams[i]);
    if (i == 3) {
      EXPECT_EQ(all.finish->error->message, "no 3, please");
      EXPECT_EQ(all.tokens.size(), 3u);
    } else {
      EXPECT_EQ(all.tokens, answer_to({i}, 10)) << i;
    }
  }
}

TEST_F(Overlap, AFailureOfWhatWasLaunchedSinceIsNotThatOfTheStepBefore) {
  Bench bench;
  // As a GPU tells it: whoever waits next hears of a launch that failed.
  bool failed = false;
  bench.session->on_step = [&](const runtime::Step& step) -> Result<void> {
    failed |= step.token_ids.size() > 1;
    return {};
  };
  bench.session->on_finish = [&]() -> Result<void> {
    if (std::exchange(failed, false)) return base::internal_error("too many rows");
    return {};
  };
  auto good = bench.submit(request_of({1}, 10));
  bench.turn(2);
  auto bad = bench.submit(request_of({2, 3}, 10));
  bench.finish();
  EXPECT_EQ(collect(*good).tokens, answer_to({1}, 10));
  EXPECT_EQ(collect(*bad).finish->error->message, "too many rows");
}

TEST_F(Overlap, AStepThatCannotBeLaunchedLeavesTheOneUnderWay) {
  Bench bench;
  bench.session->on_step = [&](const runtime::Step& step) -> Result<void> {
    for (int32_t id : step.token_ids) {
      if (id == 2) return base::invalid("no 2, please");
    }
    return {};
  };
  auto good = bench.submit(request_of({1}, 10));
  bench.turn(2);
  auto bad = bench.submit(request_of({2}, 10));
  bench.finish();
  EXPECT_EQ(collect(*good).tokens, answer_to({1}, 10));
  EXPECT_EQ(collect(*bad).finish->error->message, "no 2, please");
}

TEST_F(Overlap, ADeviceLostWithTwoStepsUnderWayEndsEveryRequest) {
  Bench bench;
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 10; ++i) streams.push_back(bench.submit(request_of({i}, 20)));
  bench.turn(3);
  const int64_t launched = bench.session->num_steps;
  bench.session->on_finish = []() -> Result<void> {
    return Error{ErrorCode::kDevice, "cuda: the device is lost", {}};
  };
  bench.turn();
  EXPECT_EQ(bench.session->num_steps, launched + 1) << "nothing is tried again";
  EXPECT_FALSE(bench.more);
  for (auto& stream : streams)
    EXPECT_EQ(collect(*stream).finish->error->message, "cuda: the device is lost");
  EXPECT_EQ(bench.stats().pages_used + bench.stats().pages_cached, 0);
  ASSERT_TRUE(bench.failure());
}

TEST_F(Overlap, AnUndecidedRowIsComputedAgainInAStepThatIsNotFollowed) {
  // In the prompt's step, within a page, and where a page has just been taken for the next token.
  for (int64_t position : {60, 62, 64}) {
    Bench bench;
    int asked = 0;
    bench.session->undecided = [&](const runtime::SampleRow& row) {
      if (row.context.prompt[0] != 1 || row.context.position != position) return false;
      ++asked;
      return true;
    };
    auto one = bench.submit(request_of(prompt_of(60, 1), 20));
    auto other = bench.submit(request_of(prompt_of(20, 2), 30));
    bench.finish();
    EXPECT_EQ(asked, 2) << "by the device both times, then by the host";
    EXPECT_EQ(bench.session->num_left_undecided, 1);
    EXPECT_EQ(collect(*one).tokens, answer_to(prompt_of(60, 1), 20)) << position;
    EXPECT_EQ(collect(*other).tokens, answer_to(prompt_of(20, 2), 30));
    EXPECT_EQ(bench.stats().output_tokens, 50);
  }
}

TEST_F(Overlap, AnUndecidedRowGivesUpThePageThatWasTakenForTheTokenBehindIt) {
  runtime::SessionInfo info = kSmall;
  info.num_pages = 3;
  Bench bench(info);
  bench.session->undecided = [](const runtime::SampleRow& row) {
    return row.context.prompt[0] == 1 && row.context.position == 64;
  };
  auto one = bench.submit(request_of(prompt_of(60, 1), 68));
  auto other = bench.submit(request_of(prompt_of(61, 2), 60));
  bench.finish();
  EXPECT_EQ(collect(*one).tokens, answer_to(prompt_of(60, 1), 68));
  EXPECT_EQ(collect(*other).tokens, answer_to(prompt_of(61, 2), 60));
}

TEST_F(Overlap, WhatIsWrongWithARowIsSaidByAStepThatIsNotFollowed) {
  Bench bench;
  auto good = bench.submit(request_of({1}, 10));
  auto bad = bench.submit(request_of({2}, 10));
  bench.session->on_sample = [](const runtime::SampleRow& row) {
    std::optional<Result<runtime::Sampled>> chosen;
    if (row.context.prompt[0] == 2 && row.context.position == 5)
      chosen = base::internal_error("the logits for position 5 have NaN or infinity");
    return chosen;
  };
  bench.finish();
  const Response failed = collect(*bad);
  EXPECT_EQ(failed.finish->error->message, "the logits for position 5 have NaN or infinity");
  EXPECT_EQ(failed.tokens.size(), 4u);
  EXPECT_EQ(collect(*good).tokens, answer_to({1}, 10));
  EXPECT_EQ(bench.session->num_left_undecided, 1);
}

TEST_F(Overlap, ALoopMayGoWithStepsUnderWay) {
  auto bench = std::make_unique<Bench>();
  auto stream = bench->submit(request_of({1}, 10));
  bench->turn(2);
  bench.reset();
  EXPECT_THAT(stream->next(seconds(0))->tokens, ElementsAreArray(answer_to({1}, 2)));
}

}  // namespace
}  // namespace tokamak::executor
