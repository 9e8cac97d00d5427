// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/prefix_index.h"

#include <gtest/gtest.h>

#include "tokamak/base/check.h"

namespace tokamak::executor {
namespace {

/// A sequence of full pages, each of one token 64 times.
struct Sequence {
  explicit Sequence(const std::vector<int32_t>& pages, std::string salt = "")
      : keys{std::move(salt), {}} {
    for (int32_t token : pages) tokens.insert(tokens.end(), op::kPageTokens, token);
  }
  std::vector<int32_t> tokens;
  PrefixKeys keys;
};

struct Index : PrefixIndex {
  explicit Index(PrefixOptions options = {}) : PrefixIndex(10, options) {}
  bool insert(int32_t page, size_t n, int32_t parent, Sequence& sequence) {
    return PrefixIndex::insert(page, n, parent, sequence.keys, sequence.tokens);
  }
  /// -1 if there is none.
  int32_t find(size_t n, int32_t parent, Sequence& sequence) {
    return PrefixIndex::find(n, parent, sequence.keys, sequence.tokens).value_or(-1);
  }
};

/// Every hash is the same.
constexpr PrefixOptions kColliding{.hash_bits = 0};

TEST(PrefixIndex, FindsEachPageBelowTheOneBeforeIt) {
  Index index;
  Sequence writer({1, 2, 3}), reader({1, 2, 4});
  EXPECT_EQ(index.find(0, -1, reader), -1);
  ASSERT_TRUE(index.insert(7, 0, -1, writer));
  ASSERT_TRUE(index.insert(4, 1, 7, writer));
  ASSERT_TRUE(index.insert(9, 2, 4, writer));
  EXPECT_EQ(index.find(0, -1, reader), 7);
  EXPECT_EQ(index.find(1, 7, reader), 4);
  EXPECT_EQ(index.find(2, 4, reader), -1) << "it goes on with other tokens";
  EXPECT_TRUE(index.contains(9));
  EXPECT_FALSE(index.contains(0));
}

TEST(PrefixIndex, TheKeyOfAPageCoversAllBeforeItAndTheSalt) {
  Index index;
  Sequence one({1, 5, 6}), same({1, 5, 6}), other({2, 5, 6}), salted({1, 5, 6}, "salt");
  for (Sequence* sequence : {&one, &same, &other, &salted}) index.find(2, 0, *sequence);
  ASSERT_EQ(one.keys.pages.size(), 3u);
  EXPECT_EQ(one.keys.pages, same.keys.pages);
  for (size_t n = 0; n < 3; ++n) {
    EXPECT_NE(one.keys.pages[n], other.keys.pages[n]) << "equal tokens after others: page " << n;
    EXPECT_NE(one.keys.pages[n], salted.keys.pages[n]);
    EXPECT_NE(one.keys.pages[n].high, 0u) << "128 bits";
  }
}

TEST(PrefixIndex, HashesAreKeyedWithASecretOfEachIndex) {
  Index first, second;
  Sequence one({1}), same({1});
  first.find(0, -1, one);
  second.find(0, -1, same);
  EXPECT_NE(one.keys.pages, same.keys.pages);
}

TEST(PrefixIndex, WhenEveryHashCollidesTokensParentAndSaltStillTell) {
  Index index(kColliding);
  Sequence writer({1, 2});
  ASSERT_TRUE(index.insert(0, 0, -1, writer));
  Sequence same({1, 9}), other({3, 2}), salted({1, 2}, "salt");
  EXPECT_EQ(index.find(0, -1, same), 0);
  EXPECT_EQ(index.find(0, -1, other), -1);
  EXPECT_EQ(index.find(0, -1, salted), -1);
  Sequence longer({1, 9});
  longer.keys.is_long = true;
  EXPECT_EQ(index.find(0, -1, longer), -1);
  EXPECT_EQ(index.find(0, 5, same), -1) << "below another page";

  Sequence last = other;
  last.tokens[63] = writer.tokens[63];
  EXPECT_EQ(index.find(0, -1, last), -1);
  last = writer;
  last.tokens[63] += 1;
  EXPECT_EQ(index.find(0, -1, last), -1) << "the last token of 64 counts";
}

TEST(PrefixIndex, OfPagesWhoseHashesCollideTheFirstStays) {
  Index index(kColliding);
  Sequence first({1}), second({2});
  ASSERT_TRUE(index.insert(0, 0, -1, first));
  EXPECT_FALSE(index.insert(1, 0, -1, second));
  EXPECT_FALSE(index.contains(1));
  EXPECT_EQ(index.find(0, -1, first), 0);
  index.erase(0);
  EXPECT_TRUE(index.insert(1, 0, -1, second));
  EXPECT_EQ(index.find(0, -1, second), 1);
}

TEST(PrefixIndex, NothingIsFoundBelowAPageThatHoldsSomethingElseNow) {
  Index index;
  Sequence writer({1, 2});
  ASSERT_TRUE(index.insert(0, 0, -1, writer));
  ASSERT_TRUE(index.insert(1, 1, 0, writer));
  index.erase(0);
  // The same page again, even with the same tokens: who computed page 1 saw another page 0.
  ASSERT_TRUE(index.insert(0, 0, -1, writer));
  EXPECT_EQ(index.find(1, 0, writer), -1);
  ASSERT_TRUE(index.insert(2, 1, 0, writer)) << "an orphan does not hold its place";
  EXPECT_EQ(index.find(1, 0, writer), 2);
  index.erase(1);
  EXPECT_EQ(index.find(1, 0, writer), 2) << "it takes nothing with it when it goes";
}

TEST(PrefixIndex, KnowsNothingWhenItIsTurnedOff) {
  Index index({.enabled = false});
  Sequence writer({1});
  EXPECT_FALSE(index.insert(0, 0, -1, writer));
  EXPECT_EQ(index.find(0, -1, writer), -1);
}

TEST(PrefixIndex, APageHasOnePlace) {
  Index index;
  Sequence writer({1, 2});
  ASSERT_TRUE(index.insert(0, 0, -1, writer));
  EXPECT_THROW((void)index.insert(0, 1, 0, writer), base::CheckFailure);
  EXPECT_THROW((void)index.insert(1, 1, 5, writer), base::CheckFailure) << "below nothing";
  EXPECT_THROW(index.erase(3), base::CheckFailure);
}

}  // namespace
}  // namespace tokamak::executor
