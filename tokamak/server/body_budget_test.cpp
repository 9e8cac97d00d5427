// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/body_budget.h"

#include <vector>

#include <gtest/gtest.h>

namespace tokamak::server {
namespace {

TEST(BodyBudget, GivesBackWhatAShareHad) {
  BodyBudget budget(100);
  {
    BodyShare share(budget);
    EXPECT_TRUE(share.resize(30));
    EXPECT_TRUE(share.resize(50));
    EXPECT_FALSE(share.resize(51));
    EXPECT_EQ(budget.used_bytes(), 50);
    BodyShare moved = std::move(share);
    EXPECT_TRUE(moved.resize(20));
    EXPECT_EQ(budget.used_bytes(), 20);
  }
  EXPECT_EQ(budget.used_bytes(), 0);
  EXPECT_TRUE(BodyShare().resize(1000)) << "without a budget there is no limit";
}

TEST(BodyBudget, MayBeGoneBeforeItsShares) {
  BodyShare share;
  {
    BodyBudget budget(100);
    share = BodyShare(budget);
    EXPECT_TRUE(share.resize(30));
  }
  EXPECT_TRUE(share.resize(10));
}

TEST(BodyBudget, RefusesLargeBodiesFirst) {
  BodyBudget budget(1 << 20);
  std::vector<BodyShare> greedy;
  for (int i = 0; i < 100; ++i) greedy.emplace_back(budget);
  // All grow together until each is refused.
  std::vector<int64_t> sizes(greedy.size(), 0);
  for (bool grown = true; grown;) {
    grown = false;
    for (size_t i = 0; i < greedy.size(); ++i) {
      if (!greedy[i].resize(sizes[i] + 512)) continue;
      sizes[i] += 512;
      grown = true;
    }
  }
  EXPECT_LE(budget.used_bytes(), budget.limit_bytes);
  for (int64_t size : sizes) EXPECT_GT(size, budget.limit_bytes / 200);
  EXPECT_TRUE(budget.has_room(4096));
  EXPECT_TRUE(BodyShare(budget).resize(4096)) << "a small body finds room beside them";
  EXPECT_FALSE(budget.has_room(budget.limit_bytes / 2));
  EXPECT_FALSE(BodyShare(budget).resize(budget.limit_bytes / 2));
}

}  // namespace
}  // namespace tokamak::server
