// SPDX-License-Identifier: Apache-2.0
// Requests for several answers, and for the logprobs of the prompt.
#include <set>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/step_loop_test.h"

namespace tokamak::executor {
namespace {

using std::chrono::seconds;
using testing::Each;
using testing::Field;

Request answers_of(std::vector<int32_t> prompt, int64_t max_tokens, int64_t n) {
  Request request = request_of(std::move(prompt), max_tokens);
  request.n = n;
  request.sampling.seed = 1000;
  return request;
}

class Answers : public StepsUnderWay {};
TKM_TEST_STEPS_UNDER_WAY(Answers);

TEST_P(Answers, EachHasItsSeedAndThePromptIsComputedOnce) {
  Bench bench;
  bench.session->uses_seeds = true;
  const auto prompt = prompt_of(200, 1);
  auto stream = bench.submit(answers_of(prompt, 20, 4));
  bench.finish();
  const auto answers = collect_answers(*stream, 4);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(answers[i].tokens, FakeSession::answer(prompt, 20, kVocab, 1000 + i)) << i;
    EXPECT_EQ(answers[i].finish->reason, FinishReason::kLength);
    EXPECT_EQ(answers[i].finish->usage.prompt_tokens, 200);
    EXPECT_EQ(answers[i].finish->usage.completion_tokens, 20);
    EXPECT_EQ(answers[i].finish->usage.cached_tokens, 0);
  }
  // The three full pages once, the 8 tokens behind them four times.
  EXPECT_EQ(bench.stats().prompt_tokens, 200 + 3 * 8);
  EXPECT_EQ(bench.stats().requests, 1);
  EXPECT_EQ(bench.stats().admitted, 1);
  EXPECT_EQ(bench.stats().prefix_query_tokens, 200) << "answers to one prompt are one query";
  EXPECT_EQ(bench.stats().prefix_hit_tokens, 0);
  EXPECT_EQ(bench.stats().finished[static_cast<size_t>(FinishReason::kLength)], 4);
  EXPECT_EQ(bench.waiting(), 0);
}

TEST_P(Answers, OfAPromptRunTogetherWhereItsPagesFitOnce) {
  // 6 pages an answer: without sharing, 2 answers fit the 12 pages.
  Bench bench;
  bench.session->uses_seeds = true;
  const auto prompt = prompt_of(321, 1);
  auto stream = bench.submit(answers_of(prompt, 40, 7));
  int64_t most = 0;
  do {
    bench.turn();
    most = std::max(most, bench.stats().running);
  } while (bench.more);
  EXPECT_GE(most, 4);
  EXPECT_EQ(bench.stats().preemptions, 0);
  const auto answers = collect_answers(*stream, 7);
  for (int64_t i = 0; i < 7; ++i) {
    EXPECT_EQ(answers[i].tokens, FakeSession::answer(prompt, 40, kVocab, 1000 + i));
  }
}

TEST_P(Answers, APreemptionIsCountedByTheAnswerThatHadIt) {
  // Before the prompt is computed, and of the answers when they grow beyond the 12 pages.
  Bench bench;
  bench.session->uses_seeds = true;
  auto stream = bench.submit(answers_of(prompt_of(200, 1), 190, 5));
  bench.turn();
  Request urgent = request_of(prompt_of(300, 2), 5);
  urgent.priority = 10;
  auto first = bench.submit(urgent);
  urgent.prompt = prompt_of(300, 3);
  auto second = bench.submit(urgent);
  bench.finish();
  const auto answers = collect_answers(*stream, 5);
  EXPECT_GT(answers[0].finish->num_preemptions, 0);
  int64_t preemptions = 0;
  for (const Response& answer : answers) preemptions += answer.finish->num_preemptions;
  EXPECT_GT(preemptions, answers[0].finish->num_preemptions);
  EXPECT_EQ(preemptions, bench.stats().preemptions);
  for (auto& other : {first, second}) EXPECT_EQ(collect(*other).finish->num_preemptions, 0);
}

TEST_P(Answers, OfACancelledPromptDoNotRepeatItsPreemptions) {
  Bench bench;
  auto stream = bench.submit(answers_of(prompt_of(390, 1), 10, 3));
  bench.turn();
  Request urgent = request_of(prompt_of(390, 2), 5);
  urgent.priority = 10;
  auto first = bench.submit(urgent), second = bench.submit(urgent);
  bench.turn(3);
  EXPECT_EQ(bench.stats().preemptions, 1);
  stream->cancel();
  bench.finish();
  const auto answers = collect_answers(*stream, 3);
  EXPECT_EQ(answers[0].finish->num_preemptions, 1);
  for (size_t i : {1, 2}) EXPECT_EQ(answers[i].finish->num_preemptions, 0);
}

TEST_P(Answers, TakeTurnsInTheStream) {
  Bench bench;
  auto stream = bench.submit(answers_of({1, 2}, 50, 3));
  bench.turn(3);
  std::vector<int64_t> order;
  for (int i = 0; i < 6; ++i) {
    const auto part = stream->next(seconds(0));
    if (!part->tokens.empty()) order.push_back(part->index);
  }
  EXPECT_THAT(order, testing::ElementsAre(0, 1, 2));
}

TEST_P(Answers, EndTogetherWithTheirLastToken) {
  Bench bench;
  auto stream = bench.submit(answers_of({1, 2}, 5, 3));
  // Takes each response as soon as there is one: nothing that follows can be put into it.
  int64_t num_tokens = 0, num_finished = 0;
  stream->set_listener([&] {
    const auto part = stream->next(seconds(0));
    num_tokens += static_cast<int64_t>(part->tokens.size());
    if (!part->finish) return;
    ++num_finished;
    EXPECT_EQ(part->tokens.size(), 1) << "of answer " << part->index;
  });
  bench.finish();
  EXPECT_EQ(num_tokens, 3 * 5);
  EXPECT_EQ(num_finished, 3);
}

TEST_P(Answers, AreAllCancelledBeforeAndAfterThePromptIsComputed) {
  for (int turns : {0, 1, 3, 5}) {
    Bench bench;
    auto stream = bench.submit(answers_of(prompt_of(150, 1), 50, 5));
    bench.turn(turns);
    stream->cancel();
    bench.turn();
    const auto answers = collect_answers(*stream, 5);
    for (const Response& answer : answers) {
      ASSERT_TRUE(answer.finish);
      EXPECT_EQ(answer.finish->reason, FinishReason::kCancelled);
      EXPECT_EQ(answer.finish->usage.prompt_tokens, 150);
    }
    EXPECT_EQ(bench.stats().finished[static_cast<size_t>(FinishReason::kCancelled)], 5);
    EXPECT_EQ(bench.stats().pages_used, 0);
    EXPECT_EQ(bench.waiting(), 0);
    EXPECT_FALSE(bench.more);
  }
}

TEST_P(Answers, AnErrorEndsTheAnswerItConcerns) {
  Bench bench;
  bench.session->uses_seeds = true;
  auto stream = bench.submit(answers_of({5, 6}, 10, 3));
  bench.session->on_sample = [](const runtime::SampleRow& row) {
    std::optional<Result<runtime::Sampled>> chosen;
    const bool hit = row.context.seed == 1001 && row.context.position == 4;
    if (hit) chosen = base::internal_error("the logits for position 4 have NaN or infinity");
    return chosen;
  };
  bench.finish();
  const auto answers = collect_answers(*stream, 3);
  EXPECT_EQ(answers[1].finish->reason, FinishReason::kError);
  EXPECT_EQ(answers[1].tokens.size(), 2u);
  for (int64_t i : {0, 2}) {
    EXPECT_EQ(answers[i].tokens, FakeSession::answer({5, 6}, 10, kVocab, 1000 + i));
  }
}

TEST_P(Answers, APromptThatCannotBeComputedEndsAllOfThem) {
  Bench bench;
  auto stream = bench.submit(answers_of(prompt_of(150, 1), 10, 3));
  bench.session->on_step = [](const runtime::Step&) -> Result<void> {
    return base::internal_error("no");
  };
  bench.finish();
  for (const Response& answer : collect_answers(*stream, 3)) {
    EXPECT_EQ(answer.finish->reason, FinishReason::kError);
    EXPECT_EQ(answer.finish->error->message, "no");
  }
  EXPECT_EQ(bench.stats().finished[static_cast<size_t>(FinishReason::kError)], 3);
}

TEST_P(Answers, TheirLogprobsAddUp) {
  Bench bench;
  Request request = answers_of({1}, 8, 2);
  request.sampling.logprobs = 0;
  auto stream = bench.submit(request);
  bench.finish();
  for (const Response& answer : collect_answers(*stream, 2)) {
    double sum = 0;
    for (const TokenLogprobs& logprobs : answer.logprobs) sum += logprobs.logprob;
    EXPECT_LT(sum, 0);
    EXPECT_DOUBLE_EQ(answer.finish->cumulative_logprob, sum);
  }
}

TEST_P(Answers, NamedTokensAreScoredWithEachToken) {
  Bench bench;
  const std::vector<int32_t> prompt = prompt_of(70, 3);
  Request request = answers_of(prompt, 8, 2);
  request.sampling.logprob_token_ids = {7, 400, 7, 12};
  auto stream = bench.submit(request);
  auto other = bench.submit(request_of({9}, 8));
  bench.finish();
  for (const Response& answer : collect_answers(*stream, 2)) {
    std::vector<int32_t> before = prompt;
    double sum = 0;
    ASSERT_EQ(answer.logprobs.size(), 8u);
    for (size_t i = 0; i < answer.logprobs.size(); ++i) {
      const TokenLogprobs& scored = answer.logprobs[i];
      EXPECT_EQ(scored.logprob, FakeSession::logprob(before, answer.tokens[i]));
      std::set<int32_t> named;
      float last = 0;
      for (const runtime::TokenLogprob& entry : scored.top) {
        named.insert(entry.token);
        EXPECT_EQ(entry.logprob, FakeSession::logprob(before, entry.token));
        EXPECT_LE(entry.logprob, std::exchange(last, entry.logprob)) << "best first";
      }
      EXPECT_THAT(named, testing::ElementsAre(7, 12, 400));
      EXPECT_EQ(scored.top.size(), 3u);
      before.push_back(answer.tokens[i]);
      sum += scored.logprob;
    }
    EXPECT_TRUE(answer.prompt_logprobs.empty());
    EXPECT_DOUBLE_EQ(answer.finish->cumulative_logprob, sum);
  }
  EXPECT_TRUE(collect(*other).logprobs.empty());
}

TEST_P(Answers, NamedTokensBeyondTheVocabularyAreRefused) {
  Request request = request_of({1}, 2);
  request.sampling.logprob_token_ids = {0, static_cast<int32_t>(kVocab)};
  const auto refused = validate(request, kSmall);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_EQ(refused.error().message, "logprob_token_ids[1] is 500, must be in [0, 500)");
}

std::vector<float> scores_of(const std::vector<int32_t>& prompt) {
  std::vector<float> scores;
  for (size_t i = 1; i < prompt.size(); ++i) {
    scores.push_back(FakeSession::logprob(std::span(prompt).first(i), prompt[i]));
  }
  return scores;
}

std::vector<float> values(const std::vector<TokenLogprobs>& logprobs) {
  std::vector<float> values;
  for (const TokenLogprobs& entry : logprobs) values.push_back(entry.logprob);
  return values;
}

Request scoring_of(std::vector<int32_t> prompt, int64_t max_tokens) {
  Request request = request_of(std::move(prompt), max_tokens);
  request.sampling.prompt_logprobs = 0;
  return request;
}

class PromptLogprobs : public StepsUnderWay {};
TKM_TEST_STEPS_UNDER_WAY(PromptLogprobs);

TEST_P(PromptLogprobs, AreThoseOfEveryTokenButTheFirst) {
  for (int64_t size : {1, 2, 8, 9, 64, 65, 300}) {
    for (int64_t max_tokens : {0, 1, 5}) {
      Bench bench;  // Of 8 rows a step: the prompt is scored in many chunks.
      const auto prompt = prompt_of(size, 3);
      const Response all = bench.answer(scoring_of(prompt, max_tokens));
      EXPECT_EQ(values(all.prompt_logprobs), scores_of(prompt)) << size << " " << max_tokens;
      EXPECT_EQ(all.tokens, FakeSession::answer(prompt, max_tokens, kVocab));
      EXPECT_EQ(all.finish->reason, FinishReason::kLength);
      EXPECT_EQ(all.finish->usage.completion_tokens, max_tokens);
      EXPECT_TRUE(all.logprobs.empty());
    }
  }
}

TEST_P(PromptLogprobs, AreComputedAlsoWhereAnotherLeftItsPages) {
  Bench bench;
  const auto prompt = prompt_of(250, 3);
  bench.answer(request_of(prompt, 2));
  const int64_t before = bench.session->num_tokens;
  const Response scored = bench.answer(scoring_of(prompt, 0));
  EXPECT_EQ(values(scored.prompt_logprobs), scores_of(prompt));
  EXPECT_EQ(scored.finish->usage.cached_tokens, 0);
  EXPECT_EQ(bench.session->num_tokens - before, 250);
  // And what it computed is there for others.
  EXPECT_EQ(bench.answer(request_of(prompt, 1)).finish->usage.cached_tokens, 192);
}

TEST_P(PromptLogprobs, GoOnAfterAPreemptionWhereTheyWere) {
  Bench bench;
  const auto prompt = prompt_of(300, 3);
  auto stream = bench.submit(scoring_of(prompt, 3));
  bench.turn(20);  // 160 tokens are scored.
  Request urgent = request_of(prompt_of(300, 8), 5);
  urgent.priority = 1;
  std::vector<std::shared_ptr<TokenStream>> others;
  for (int i = 0; i < 2; ++i) {
    urgent.prompt = prompt_of(300, 8 + i);
    others.push_back(bench.submit(urgent));
  }
  bench.turn(2);  // A step under way is finished first.
  EXPECT_EQ(bench.stats().preemptions, 1);
  bench.finish();
  const Response all = collect(*stream);
  EXPECT_EQ(values(all.prompt_logprobs), scores_of(prompt));
  EXPECT_EQ(all.tokens, FakeSession::answer(prompt, 3, kVocab));
}

TEST_P(PromptLogprobs, ComeOnceForSeveralAnswers) {
  Bench bench;
  Request request = answers_of(prompt_of(70, 3), 2, 3);
  request.sampling.prompt_logprobs = 0;
  auto stream = bench.submit(request);
  bench.finish();
  const auto answers = collect_answers(*stream, 3);
  EXPECT_EQ(values(answers[0].prompt_logprobs), scores_of(prompt_of(70, 3)));
  EXPECT_TRUE(answers[1].prompt_logprobs.empty());
  EXPECT_EQ(answers[2].finish->usage.completion_tokens, 2);
  // Without any token to sample, every answer ends with the prompt.
  request.sampling.max_tokens = 0;
  stream = bench.submit(request);
  bench.finish();
  for (const Response& answer : collect_answers(*stream, 3)) {
    EXPECT_EQ(answer.finish->reason, FinishReason::kLength);
  }
}

TEST_P(PromptLogprobs, DoNotHoldUpThoseWhoAnswer) {
  Bench bench;
  auto talking = bench.submit(request_of({1}, 60));
  bench.turn();
  talking->next();
  auto scored = bench.submit(scoring_of(prompt_of(300, 3), 0));
  for (int i = 0; i < 20; ++i) {
    bench.turn();
    EXPECT_EQ(talking->next(seconds(0))->tokens.size(), 1u);
  }
  bench.finish();
  EXPECT_EQ(values(collect(*scored).prompt_logprobs), scores_of(prompt_of(300, 3)));
}

}  // namespace
}  // namespace tokamak::executor
