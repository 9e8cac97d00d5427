// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/descriptors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace tokamak::server {
namespace {

TEST(Descriptors, LeaveSomeForFiles) {
  EXPECT_EQ(connections_within(10'000, 1'000'000), 10'000);
  EXPECT_EQ(connections_within(10'000, 1024), 896);
  EXPECT_EQ(connections_within(10'000, 64), 32);
  EXPECT_EQ(connections_within(10, 64), 10);
  EXPECT_EQ(connections_within(10, 1), 1);
}

TEST(Descriptors, AreAsManyAsMayBe) {
  const int64_t most = raise_descriptor_limit();
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, limit.rlim_max);
  EXPECT_GE(most, 64);
}

}  // namespace
}  // namespace tokamak::server
