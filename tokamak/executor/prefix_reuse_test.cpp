// SPDX-License-Identifier: Apache-2.0
// What requests take from those before them.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/step_loop_test.h"

namespace tokamak::executor {
namespace {

using std::chrono::seconds;

class PrefixReuse : public StepsUnderWay {};
TKM_TEST_STEPS_UNDER_WAY(PrefixReuse);

TEST_P(PrefixReuse, AnEqualPromptIsComputedFromItsLastFullPageOn) {
  for (int64_t size : {1, 63, 64, 65, 128, 129, 300}) {
    Bench bench;
    const auto prompt = prompt_of(size, 1);
    EXPECT_EQ(bench.answer(request_of(prompt, 3)).finish->usage.cached_tokens, 0);
    const int64_t before = bench.session->num_tokens;
    const Response again = bench.answer(request_of(prompt, 3));
    const int64_t cached = (size - 1) / 64 * 64;
    EXPECT_EQ(again.finish->usage.cached_tokens, cached) << "at least one token is computed";
    EXPECT_EQ(bench.session->num_tokens - before, size - cached + 2);
    EXPECT_EQ(again.tokens, FakeSession::answer(prompt, 3, kVocab));
    EXPECT_EQ(bench.stats().prefix_query_tokens, 2 * size);
    EXPECT_EQ(bench.stats().prefix_hit_tokens, cached);
    EXPECT_EQ(bench.stats().pages_used, 0);
  }
}

TEST_P(PrefixReuse, TheAnswerIsPartOfThePrefixOfTheNextTurn) {
  Bench bench;
  auto conversation = prompt_of(100, 1);
  const Response first = bench.answer(request_of(conversation, 60));
  conversation.insert(conversation.end(), first.tokens.begin(), first.tokens.end());
  conversation.push_back(7);
  // 160 tokens were known; the last one of the answer was never computed.
  EXPECT_EQ(bench.answer(request_of(conversation, 1)).finish->usage.cached_tokens, 128);
}

TEST_P(PrefixReuse, EndsWhereThePromptsDiffer) {
  Bench bench;
  auto prompt = prompt_of(300, 1);
  bench.answer(request_of(prompt, 1));
  prompt[150] = (prompt[150] + 1) % kVocab;
  const Response other = bench.answer(request_of(prompt, 4));
  EXPECT_EQ(other.finish->usage.cached_tokens, 128);
  EXPECT_EQ(other.tokens, FakeSession::answer(prompt, 4, kVocab));
  prompt[0] = (prompt[0] + 1) % kVocab;
  EXPECT_EQ(bench.answer(request_of(prompt, 4)).finish->usage.cached_tokens, 0)
      << "equal pages after another beginning are other pages";
}

TEST_P(PrefixReuse, IsOnlyAmongRequestsOfOneSalt) {
  Bench bench;
  Request request = request_of(prompt_of(200, 1), 1);
  auto cached = [&](std::string salt) {
    request.cache_salt = std::move(salt);
    return bench.answer(request).finish->usage.cached_tokens;
  };
  EXPECT_EQ(cached("mine"), 0);
  EXPECT_EQ(cached("yours"), 0);
  EXPECT_EQ(cached(""), 0);
  EXPECT_EQ(cached("mine"), 192);
  EXPECT_EQ(cached(""), 192);
}

TEST_P(PrefixReuse, AllAnswersOfARequestReportTheSameAndTheyCountOnce) {
  Bench bench;
  Request request = request_of(prompt_of(150, 1), 3);
  bench.answer(request);
  request.n = 3;
  auto stream = bench.submit(request);
  bench.finish();
  for (const Response& answer : collect_answers(*stream, 3)) {
    EXPECT_EQ(answer.finish->usage.cached_tokens, 128);
  }
  EXPECT_EQ(bench.stats().prefix_query_tokens, 300);
  EXPECT_EQ(bench.stats().prefix_hit_tokens, 128);
}

TEST_P(PrefixReuse, CanBeTurnedOff) {
  Bench bench(kSmall, {.prefix_reuse = false});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(bench.answer(request_of(prompt_of(200, 1), 1)).finish->usage.cached_tokens, 0);
  }
  EXPECT_EQ(bench.stats().pages_cached, 0);
}

TEST_P(PrefixReuse, APreemptedRequestFindsItsOwnPagesAgain) {
  Bench bench;
  const auto prompt = prompt_of(260, 1);
  auto stream = bench.submit(request_of(prompt, 50));
  bench.turn(5);
  Request urgent = request_of(prompt_of(330, 9), 2);
  urgent.priority = 1;
  urgent.n = 2;
  auto other = bench.submit(urgent);
  urgent.prompt = prompt_of(10, 4);
  bench.turn();
  // 6 pages for the urgent one, 5 of 12 for this one: both run. Two more push it out.
  urgent.prompt = prompt_of(130, 5);
  urgent.n = 1;
  auto third = bench.submit(urgent);
  bench.turn(GetParam());
  EXPECT_EQ(bench.stats().preemptions, 1);
  const int64_t prompt_tokens = bench.stats().prompt_tokens;
  bench.finish();
  const Response all = collect(*stream);
  EXPECT_EQ(all.tokens, FakeSession::answer(prompt, 50, kVocab));
  EXPECT_EQ(all.finish->usage.cached_tokens, 0) << "its own pages are no hit";
  EXPECT_LT(bench.stats().prompt_tokens - prompt_tokens, 260 + 330 + 130)
      << "not all of it was computed again";
}

TEST_P(PrefixReuse, OfTwoThatComeTogetherTheSecondTakesWhatTheFirstHasPublished) {
  Bench bench;
  const auto prompt = prompt_of(300, 1);
  auto first = bench.submit(request_of(prompt, 5));
  auto second = bench.submit(request_of(prompt, 5));
  bench.finish();
  EXPECT_EQ(collect(*first).tokens, FakeSession::answer(prompt, 5, kVocab));
  const Response all = collect(*second);
  EXPECT_EQ(all.tokens, FakeSession::answer(prompt, 5, kVocab));
  EXPECT_GT(all.finish->usage.cached_tokens, 0);
  EXPECT_LT(bench.stats().prompt_tokens, 600);
}

TEST_P(PrefixReuse, EqualPagesThatWereComputedTwiceBecomeOne) {
  runtime::SessionInfo wide = kSmall;
  wide.max_step_tokens = 400;
  Bench bench(wide);
  const auto prompt = prompt_of(190, 1);
  auto first = bench.submit(request_of(prompt, 9));
  auto second = bench.submit(request_of(prompt, 9));
  bench.turn();  // Both in one step.
  EXPECT_EQ(bench.stats().prompt_tokens, 380);
  EXPECT_EQ(bench.stats().pages_used, 2 + 2) << "two pages that are full, and one of each";
  bench.finish();
  EXPECT_EQ(collect(*first).tokens, collect(*second).tokens);
}

TEST_P(PrefixReuse, PagesOfARequestThatFailedAreNotUsedAgain) {
  Bench bench;
  const auto prompt = prompt_of(200, 1);
  bench.session->on_sample = [](const runtime::SampleRow&) {
    return std::optional<Result<runtime::Sampled>>(base::internal_error("NaN"));
  };
  EXPECT_EQ(bench.answer(request_of(prompt, 2)).finish->reason, FinishReason::kError);
  bench.session->on_sample = {};
  EXPECT_EQ(bench.stats().pages_cached, 0);
  EXPECT_EQ(bench.answer(request_of(prompt, 2)).finish->usage.cached_tokens, 0);
}

TEST_P(PrefixReuse, CachedPagesMakeRoomForOthers) {
  Bench bench;
  for (int i = 0; i < 10; ++i) bench.answer(request_of(prompt_of(256, i), 2));
  EXPECT_GE(bench.stats().pages_cached, 10) << "of 12; those with free places are not kept";
  EXPECT_GT(bench.stats().evictions, 20);
  EXPECT_EQ(bench.answer(request_of(prompt_of(256, 9), 1)).finish->usage.cached_tokens, 192);
  EXPECT_EQ(bench.answer(request_of(prompt_of(256, 0), 1)).finish->usage.cached_tokens, 0);
}

// The same requests in the same order, with and without reuse, and with hashes that collide.
TEST_P(PrefixReuse, ChangesNoTokenOfAnyAnswer) {
  auto serve = [](const ExecutorOptions& options) {
    Bench bench(kSmall, options);
    bench.session->uses_seeds = true;
    std::mt19937_64 random(5);
    std::vector<std::shared_ptr<TokenStream>> streams;
    std::vector<Request> requests;
    std::vector<Response> answers;
    for (int i = 0; i < 400; ++i) {
      // A tree of prompts: of few beginnings, few continuations.
      std::vector<int32_t> prompt = prompt_of(64 * (1 + random() % 3), random() % 3);
      const auto rest = prompt_of(1 + random() % 100, random() % 4);
      prompt.insert(prompt.end(), rest.begin(), rest.end());
      Request request = request_of(std::move(prompt), 1 + random() % 40);
      request.cache_salt = random() % 3 ? "" : "salt";
      request.n = 1 + (random() % 4 == 0) * (random() % 3);
      requests.push_back(request);
      streams.push_back(bench.submit(request));
      bench.turn(1 + random() % 12);
    }
    bench.finish();
    for (size_t i = 0; i < streams.size(); ++i) {
      for (Response& answer : collect_answers(*streams[i], requests[i].n)) {
        EXPECT_EQ(answer.tokens,
                  FakeSession::answer(requests[i].prompt,
                                      requests[i].sampling.max_tokens,
                                      kVocab,
                                      i + static_cast<uint64_t>(answer.index)));
        answers.push_back(std::move(answer));
      }
    }
    return std::pair(std::move(answers), bench.stats());
  };
  const auto [with, stats] = serve({});
  const auto [without, stats_without] = serve({.prefix_reuse = false});
  ExecutorOptions colliding;
  colliding.prefix_hash_bits = 3;
  const auto [collided, stats_collided] = serve(colliding);
  ASSERT_EQ(with.size(), without.size());
  ASSERT_EQ(with.size(), collided.size());
  for (size_t i = 0; i < with.size(); ++i) {
    ASSERT_EQ(with[i].tokens, without[i].tokens);
    ASSERT_EQ(with[i].tokens, collided[i].tokens);
    ASSERT_EQ(without[i].finish->usage.cached_tokens, 0);
  }
  EXPECT_GT(stats.prefix_hit_tokens, 10000);
  EXPECT_GT(stats_collided.prefix_hit_tokens, 100) << "some still hit";
  EXPECT_LT(stats_collided.prefix_hit_tokens, stats.prefix_hit_tokens) << "collisions happen";
  EXPECT_LT(stats.prompt_tokens, stats_without.prompt_tokens);
}

}  // namespace
}  // namespace tokamak::executor
