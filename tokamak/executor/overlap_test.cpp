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

/// Requests of every kind that is more than a plain choice of a token.
std::vector<Request> demanding_requests(const std::vector<int32_t>& prompt, int64_t max_tokens) {
  std::vector<Request> out(8, request_of(prompt, max_tokens));
  out[0].sampling.logprobs = 3;
  out[1].sampling.presence_penalty = 1;
  out[2].sampling.logit_bias = {{3, 1.5f}};
  out[3].sampling.min_tokens = 5;
  out[3].sampling.stop_token_ids = {0};
  out[4].sampling.bad_words = {{1, 2}, {3}};
  out[5].sampling.allowed_token_ids = {1, 2, 3};
  out[6].sampling.prompt_logprobs = 1;
  out[6].sampling.repetition_penalty = 1.5f;
  out[7].sampling.logprob_token_ids = {4, 5};
  return out;
}

TEST_F(Overlap, EveryKindOfRequestIsFollowed) {
  for (const Request& request : demanding_requests({1, 2, 3}, 20)) {
    Bench bench;
    EXPECT_EQ(bench.answer(request).tokens, answer_to({1, 2, 3}, 20));
    EXPECT_EQ(bench.session->num_steps, 20);
    EXPECT_EQ(bench.session->num_followed, 19);
    EXPECT_EQ(bench.session->num_histories_read, 0);
  }
}

TEST_F(Overlap, NoRequestTakesItFromOthers) {
  Bench bench;
  auto plain = bench.submit(request_of({9}, 30));
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (const Request& request : demanding_requests({1}, 20))
    streams.push_back(bench.submit(request));
  bench.finish();
  EXPECT_EQ(bench.session->num_followed, bench.session->num_steps - 1);
  EXPECT_EQ(collect(*plain).tokens, answer_to({9}, 30));
  for (auto& stream : streams) EXPECT_EQ(collect(*stream).tokens, answer_to({1}, 20));
}

TEST_F(Overlap, EndTokensAreBannedByTheirPlaceInTheAnswer) {
  Bench bench;
  Request request = request_of({1, 2}, 10);
  request.sampling.min_tokens = 4;
  request.sampling.stop_token_ids = {0};
  std::vector<int64_t> banned;
  bench.session->on_step = [&](const runtime::Step& step) -> Result<void> {
    for (const auto& row : step.samples) {
      if (!row.context.banned.empty()) banned.push_back(row.context.position);
    }
    return {};
  };
  EXPECT_EQ(bench.answer(request).tokens, answer_to({1, 2}, 10));
  EXPECT_THAT(banned, testing::ElementsAre(2, 3, 4, 5));
  EXPECT_EQ(bench.session->num_followed, 9);
}

TEST_F(Overlap, TheHostNeverChoosesByAHistoryThatLacksATokenThatIsUnderWay) {
  // The fake session holds each history against the pages. The device never decides.
  for (const Request& request : demanding_requests({1, 2, 3}, 12)) {
    Bench bench;
    bench.session->undecided = [](const runtime::SampleRow& row) {
      return row.context.prompt[0] == 1;
    };
    auto other = bench.submit(request_of({5}, 40));
    bench.turn(2);
    auto stream = bench.submit(request);
    bench.finish();
    const Response all = collect(*stream);
    EXPECT_EQ(all.tokens, answer_to({1, 2, 3}, 12));
    EXPECT_EQ(all.prompt_logprobs.size(), request.sampling.prompt_logprobs >= 0 ? 2u : 0u);
    EXPECT_EQ(collect(*other).tokens, answer_to({5}, 40));
    EXPECT_GE(bench.session->num_left_undecided, 11) << "each token behind one under way";
    const bool reads = runtime::reads_history(request.sampling);
    EXPECT_GE(bench.session->num_histories_read, reads ? 12 : 0);
  }
}

TEST_F(Overlap, AContextIsIncompleteOnlyBehindATokenThatIsUnderWay) {
  Bench bench;
  Request request = request_of({1, 2, 3}, 12);
  request.sampling.frequency_penalty = 0.5f;
  int64_t known = 0, unknown = 0;
  bench.session->on_step = [&](const runtime::Step& step) -> Result<void> {
    for (const auto& row : step.samples) {
      const bool waits = step.token_ids[step.logit_rows[row.row]] < 0;
      EXPECT_EQ(runtime::knows_history(row.context), !waits);
      ++(waits ? unknown : known);
    }
    return {};
  };
  EXPECT_EQ(bench.answer(request).tokens, answer_to({1, 2, 3}, 12));
  EXPECT_EQ(known, 1);
  EXPECT_EQ(unknown, 11);
}

TEST_F(Overlap, AScoreThatTheDeviceLeavesIsComputedAgain) {
  // Rows of a prompt of several chunks, among them the first of a chunk and of a page.
  const auto prompt = prompt_of(300, 3);
  Request request = request_of(prompt, 3);
  request.sampling.prompt_logprobs = 0;
  std::vector<float> expected;
  {
    Bench bench;
    for (const TokenLogprobs& score : bench.answer(request).prompt_logprobs)
      expected.push_back(score.logprob);
    ASSERT_EQ(expected.size(), 299u);
  }
  for (std::vector<int64_t> left : {std::vector<int64_t>{1}, {64, 65, 128}, {77, 200, 299, 300}}) {
    Bench bench;
    bench.session->undecided = [&](const runtime::SampleRow& row) {
      return std::find(left.begin(), left.end(), row.context.position) != left.end();
    };
    const Response all = bench.answer(request);
    EXPECT_GT(bench.session->num_left_undecided, 0);
    EXPECT_EQ(all.tokens, answer_to(prompt, 3));
    std::vector<float> got;
    for (const TokenLogprobs& score : all.prompt_logprobs) got.push_back(score.logprob);
    EXPECT_EQ(got, expected);
  }
}

TEST_F(Overlap, WhoIsDroppedLivesUntilTheSessionIsDoneWithIt) {
  Bench bench;
  bench.session->undecided = [](const runtime::SampleRow& row) {
    return row.context.prompt[0] == 1;
  };
  int64_t asked = 0;
  bench.session->on_sample = [&](const runtime::SampleRow& row) {
    if (row.context.prompt[0] == 1) {
      ++asked;
      EXPECT_EQ(row.context.params->presence_penalty, 1.25f);
    }
    return std::optional<Result<runtime::Sampled>>();
  };
  Request request = request_of({1}, 10);
  request.sampling.presence_penalty = 1.25f;
  auto leaving = bench.submit(request);
  auto other = bench.submit(request_of({2}, 10));
  while (asked == 0) bench.turn();
  EXPECT_EQ(asked, 1) << "undecided with the next token under way";
  leaving->cancel();
  leaving.reset();
  bench.finish();
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(collect(*other).tokens, answer_to({2}, 10));
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
