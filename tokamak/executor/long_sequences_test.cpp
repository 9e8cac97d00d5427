// SPDX-License-Identifier: Apache-2.0
// Sequences whose keys and values are others once they are longer than a limit (LongRoPE). The fake
// session checks that all that a row reads was computed for a sequence of its kind.
#include <gtest/gtest.h>

#include "tokamak/executor/step_loop_test.h"

namespace tokamak::executor {
namespace {

constexpr int64_t kLimit = 150;

runtime::SessionInfo by_length() {
  runtime::SessionInfo info = kSmall;
  info.long_sequence_after = kLimit;
  return info;
}

class LongSequences : public StepsUnderWay {};
TKM_TEST_STEPS_UNDER_WAY(LongSequences);

TEST_P(LongSequences, APromptIsComputedAsWhatItIsInAllItsChunks) {
  for (int64_t size : {kLimit - 1, kLimit, kLimit + 1, int64_t{300}}) {
    Bench bench(by_length());
    const auto prompt = prompt_of(size, 1);
    EXPECT_EQ(bench.answer(request_of(prompt, 1)).tokens, FakeSession::answer(prompt, 1, kVocab));
    EXPECT_EQ(bench.session->num_tokens, size) << "nothing is computed twice";
  }
}

TEST_P(LongSequences, AnAnswerThatGrowsBeyondTheLimitIsComputedAnewOnce) {
  Bench bench(by_length());
  const auto prompt = prompt_of(140, 1);
  const Response answer = bench.answer(request_of(prompt, 30));
  EXPECT_EQ(answer.tokens, FakeSession::answer(prompt, 30, kVocab));
  // 150 tokens as a short sequence; as a long one 151 at once and 18 more.
  EXPECT_EQ(bench.session->num_tokens, kLimit + 169);
  EXPECT_EQ(bench.stats().pages_used, 0);
}

TEST_P(LongSequences, OneThatJustReachesTheLimitIsLeftAlone) {
  Bench bench(by_length());
  const auto prompt = prompt_of(140, 1);
  // The last token is not computed.
  EXPECT_EQ(bench.answer(request_of(prompt, 11)).tokens, FakeSession::answer(prompt, 11, kVocab));
  EXPECT_EQ(bench.session->num_tokens, kLimit);
}

TEST_P(LongSequences, ShareNoPagesWithOthers) {
  Bench bench(by_length());
  const auto shorter = prompt_of(130, 1), longer = prompt_of(200, 1);
  auto cached = [&](const std::vector<int32_t>& prompt) {
    const Response answer = bench.answer(request_of(prompt, 2));
    EXPECT_EQ(answer.tokens, FakeSession::answer(prompt, 2, kVocab));
    return answer.finish->usage.cached_tokens;
  };
  EXPECT_EQ(cached(shorter), 0);
  EXPECT_EQ(cached(longer), 0) << "its first pages hold the same tokens, but other keys";
  EXPECT_EQ(cached(shorter), 128);
  EXPECT_EQ(cached(longer), 192);
}

TEST_P(LongSequences, GrowBesideOthersThatDoNot) {
  Bench bench(by_length());
  std::vector<std::shared_ptr<TokenStream>> streams;
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < 6; ++i) {
    prompts.push_back(prompt_of(20 + 30 * i, i));
    Request request = request_of(prompts.back(), 40);
    request.n = i % 2 + 1;
    streams.push_back(bench.submit(request));
  }
  bench.finish();
  for (size_t i = 0; i < streams.size(); ++i) {
    for (const Response& answer : collect_answers(*streams[i], static_cast<int64_t>(i) % 2 + 1))
      EXPECT_EQ(answer.tokens, FakeSession::answer(prompts[i], 40, kVocab)) << i;
  }
}

}  // namespace
}  // namespace tokamak::executor
