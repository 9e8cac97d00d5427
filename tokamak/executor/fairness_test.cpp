// SPDX-License-Identifier: Apache-2.0
// Who waits for whom: one client's many requests beside others' few, in the queue and in capacity.
#include <gtest/gtest.h>

#include "tokamak/executor/step_loop_test.h"

namespace tokamak::executor {
namespace {

Request request_for(Owner owner, int64_t first, int64_t max_tokens) {
  Request request = request_of(prompt_of(5, first), max_tokens);
  request.owner = owner;
  return request;
}

class Fairness : public StepsUnderWay {};
TKM_TEST_STEPS_UNDER_WAY(Fairness);

TEST_P(Fairness, AClientsFirstRequestDoesNotWaitForAnothersMany) {
  runtime::SessionInfo roomy = kSmall;
  roomy.num_pages = 64;
  Bench bench(roomy);
  std::vector<std::shared_ptr<TokenStream>> many;
  for (int i = 0; i < 40; ++i) many.push_back(bench.submit(request_for({1, 1}, i, 60)));
  bench.turn(5);
  EXPECT_EQ(bench.stats().running, 8);
  auto one = bench.submit(request_for({1, 2}, 100, 3));
  bench.turn(9);
  const Response answer = collect(*one);
  EXPECT_EQ(answer.tokens, FakeSession::answer(prompt_of(5, 100), 3, kVocab));
  EXPECT_EQ(bench.stats().preemptions, 1);
  bench.finish();
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(collect(*many[i]).tokens, FakeSession::answer(prompt_of(5, i), 60, kVocab)) << i;
  }
  EXPECT_EQ(bench.waiting(), 0);
}

TEST_P(Fairness, FurtherAnswersOfARequestDoNotGoBeforeOthersFirst) {
  Bench bench;
  Request several = request_for({1, 1}, 0, 60);
  several.n = 40;
  auto many = bench.submit(several);
  bench.turn(5);
  auto one = bench.submit(request_for({2, 2}, 100, 3));
  bench.turn(9);
  EXPECT_EQ(collect(*one).finish->reason, FinishReason::kLength);
  bench.finish();
  for (const Response& answer : collect_answers(*many, 40)) {
    EXPECT_EQ(answer.finish->reason, FinishReason::kLength);
  }
}

TEST_P(Fairness, WithOnePlaceClientsTakeTurns) {
  ExecutorOptions options;
  options.max_running = 1;
  Bench bench(kSmall, options);
  std::vector<std::shared_ptr<TokenStream>> many;
  for (int i = 0; i < 10; ++i) many.push_back(bench.submit(request_for({1, 1}, i, 4)));
  bench.time += std::chrono::seconds(1);
  bench.turn(1);
  auto one = bench.submit(request_for({1, 2}, 100, 4));
  int64_t before = 0;
  for (; !one->next(std::chrono::seconds(0))->finish; ++before) {
    bench.time += std::chrono::seconds(1);
    bench.turn();
  }
  EXPECT_LE(before, 14) << "after the one that ran";
  bench.finish();
  EXPECT_EQ(bench.stats().preemptions, 0);
}

TEST_P(Fairness, OneOwnersRequestsAreServedByUrgencyAsEver) {
  ExecutorOptions options;
  options.max_running = 2;
  Bench bench(kSmall, options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 6; ++i) streams.push_back(bench.submit(request_of(prompt_of(5, i), 10)));
  std::vector<int> order;
  std::vector<bool> done(6);
  do {
    bench.turn();
    for (int i = 0; i < 6; ++i) {
      if (done[i]) continue;
      const auto part = streams[i]->next(std::chrono::seconds(0));
      if (!part || !part->finish) continue;
      done[i] = true;
      order.push_back(i);
    }
  } while (bench.more);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_P(Fairness, TheQueueHasRoomForThoseWhoDoNotFillIt) {
  ExecutorOptions options;
  options.max_queue = 64;
  Bench bench(kSmall, options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  auto put = [&](Owner owner) {
    auto stream = bench.DrivenLoop::submit(request_for(owner, 1, 2));
    if (stream.ok()) streams.push_back(*stream);
    return stream.ok() ? "" : stream.error().message;
  };
  for (int i = 0; i < 64; ++i) EXPECT_EQ(put({1, 1}), "");
  EXPECT_EQ(put({1, 1}), "the queue is full: 64 requests wait, max_queue is 64");
  // One of each group that has none, for a quarter more; and those of other keys for another.
  uint64_t group = 2;
  for (int i = 0; i < 16; ++i) EXPECT_EQ(put({1, group++}), "") << i;
  EXPECT_NE(put({1, 2}), "");
  EXPECT_NE(put({1, group++}), "") << "its key has many";
  EXPECT_EQ(put({2, group}), "");
  EXPECT_NE(put({2, group}), "");
  for (int64_t key = 3; key < 18; ++key) EXPECT_EQ(put({key, 1000}), "") << key;
  EXPECT_NE(put({99, 1000}), "") << "it is bounded in all";
  bench.finish();
  EXPECT_EQ(bench.waiting(), 0);
  EXPECT_EQ(put({1, 1}), "") << "it is empty again";
  bench.finish();
}

}  // namespace
}  // namespace tokamak::executor
