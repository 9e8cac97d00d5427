// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/fake_session.h"

namespace tokamak::executor {
namespace {

constexpr runtime::SessionInfo kInfo{.vocab_size = 1000,
                                     .max_seq_len = 512,
                                     .max_step_tokens = 64,
                                     .max_step_rows = 16,
                                     .max_sequences = 16,
                                     .num_pages = 32};

Request request_of(std::vector<int32_t> prompt, int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = max_tokens;
  return request;
}

std::vector<int32_t> prompt_of(int64_t size, int32_t first) {
  std::vector<int32_t> prompt;
  for (int64_t i = 0; i < size; ++i) prompt.push_back(static_cast<int32_t>((first + i * 7) % 1000));
  return prompt;
}

TEST(Executor, StreamsTheAnswerOfTheModel) {
  auto executor = *Executor::start(std::make_unique<FakeSession>(kInfo), letter_tokenizer(1000));
  auto stream = executor->submit(request_of({1, 2, 3}, 20));
  ASSERT_TRUE(stream.ok()) << stream.error().text();
  Response all = collect(**stream);
  EXPECT_EQ(all.tokens, FakeSession::answer({1, 2, 3}, 20, 1000));
  ASSERT_TRUE(all.finish);
  EXPECT_EQ(all.finish->reason, FinishReason::kLength);
  EXPECT_EQ(all.finish->usage.prompt_tokens, 3);
  EXPECT_EQ(all.finish->usage.completion_tokens, 20);
  EXPECT_EQ(all.text.size(), 20u);
}

TEST(Executor, ManyRequestsAtOnceGetTheAnswersTheyWouldGetAlone) {
  auto executor = *Executor::start(std::make_unique<FakeSession>(kInfo), nullptr);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 60; ++i) {
    streams.push_back(*executor->submit(request_of(prompt_of(1 + i * 4, i), 1 + i * 2)));
  }
  for (int i = 0; i < 60; ++i) {
    Response all = collect(*streams[i]);
    EXPECT_EQ(all.tokens, FakeSession::answer(prompt_of(1 + i * 4, i), 1 + i * 2, 1000)) << i;
  }
  executor->drain();
  EXPECT_EQ(executor->stats().pages_used, 0);
  EXPECT_EQ(executor->stats().output_tokens, 60 + 59 * 60);
}

}  // namespace
}  // namespace tokamak::executor
