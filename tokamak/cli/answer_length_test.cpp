// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/answer_length.h"

#include <gtest/gtest.h>

namespace tokamak::cli {
namespace {

constexpr runtime::SessionInfo kInfo = {.max_seq_len = 1024, .num_pages = 16};

TEST(AnswerLength, is_the_models_where_it_says_one) {
  EXPECT_EQ(answer_length(400, 0, 100, kInfo), 400);
  EXPECT_EQ(answer_length(30, 0, 100, kInfo), 30);
}

TEST(AnswerLength, is_256_where_nobody_says) {
  EXPECT_EQ(answer_length({}, 0, 100, kInfo), 256);
}

TEST(AnswerLength, is_at_least_what_the_answer_must_have) {
  EXPECT_EQ(answer_length({}, 300, 100, kInfo), 300);
}

TEST(AnswerLength, ends_with_the_context) {
  EXPECT_EQ(answer_length({}, 0, 1000, kInfo), 24);
  EXPECT_EQ(answer_length(400, 0, 1000, kInfo), 24);
  EXPECT_EQ(answer_length({}, 0, 1023, kInfo), 1);
  EXPECT_EQ(answer_length({}, 0, 5000, kInfo), 1) << "the prompt is refused, not its length";
}

TEST(AnswerLength, ends_with_the_cache) {
  EXPECT_EQ(answer_length({}, 0, 60, {.max_seq_len = 1024, .num_pages = 2}), 69);
}

}  // namespace
}  // namespace tokamak::cli
