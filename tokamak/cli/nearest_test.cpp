// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/nearest.h"

#include <vector>

#include <gtest/gtest.h>

namespace tokamak::cli {
namespace {

TEST(Nearest, counts_what_fingers_do_wrong) {
  EXPECT_EQ(typing_distance("run", "run"), 0u);
  EXPECT_EQ(typing_distance("rum", "run"), 1u);
  EXPECT_EQ(typing_distance("promt", "prompt"), 1u);
  EXPECT_EQ(typing_distance("sevre", "serve"), 1u) << "two letters swapped are one mistake";
  EXPECT_EQ(typing_distance("max_tokens", "Max-Tokens"), 0u);
  EXPECT_EQ(typing_distance("", "run"), 3u);
}

TEST(Nearest, finds_the_word_that_was_meant) {
  const std::vector<std::string> verbs = {"run", "serve", "build", "verify", "inspect"};
  EXPECT_EQ(nearest("rum", verbs), "run");
  EXPECT_EQ(nearest("servr", verbs), "serve");
  EXPECT_EQ(nearest("insp", verbs), "inspect");
  EXPECT_EQ(nearest("quantize", verbs), "");
  EXPECT_EQ(nearest("x", verbs), "");
}

}  // namespace
}  // namespace tokamak::cli
