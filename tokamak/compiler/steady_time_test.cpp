// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/steady_time.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::compiler {
namespace {

using testing::ElementsAre;

TEST(SteadyTime, one_slow_run_among_many_does_not_count_but_half_of_them_do) {
  EXPECT_TRUE(sampled({7, 7.1, 900, 7.2, 7}).steady());
  EXPECT_FALSE(sampled({7, 900, 12, 15, 7.1}).steady());
  EXPECT_EQ(sampled({900, 7, 8}).us, 7);
  EXPECT_TRUE(sampled({2, 2.9, 3}).steady()) << "less than a microsecond is noise of its own";
  EXPECT_TRUE(std::isinf(sampled({}).us));
  EXPECT_TRUE(sampled({}).steady()) << "what cannot be measured is not tried again";
}

TEST(SteadyTime, what_differs_is_timed_again_behind_the_others) {
  std::vector<size_t> order;
  auto times = time_steadily(3, [&](size_t i) -> Result<SampledTime> {
    order.push_back(i);
    const bool disturbed = i == 1 && order.size() < 4;
    return disturbed ? sampled({896, 1500, 2000}) : sampled({6.7, 6.8, 6.9});
  });
  ASSERT_TRUE(times.ok());
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 1));
  for (const SampledTime& time : *times) {
    EXPECT_EQ(time.us, 6.7);
    EXPECT_TRUE(time.steady());
  }
}

TEST(SteadyTime, a_slow_round_does_not_make_a_time_unsteady_that_was_steady_before) {
  const SampledTime time = merged(sampled({6.7, 6.8, 6.9}), sampled({50, 900, 2000}));
  EXPECT_EQ(time.us, 6.7);
  EXPECT_TRUE(time.steady());
  // But a fast run that only one round saw must come again.
  EXPECT_FALSE(merged(sampled({896, 900, 910}), sampled({6.7, 500, 800})).steady());
}

TEST(SteadyTime, it_gives_up_after_some_rounds_and_says_so) {
  int count = 0;
  auto times = time_steadily(1, [&](size_t) -> Result<SampledTime> {
    ++count;
    return sampled({100, 200, 300});
  });
  EXPECT_EQ(count, kMaxRounds);
  EXPECT_EQ((*times)[0].us, 100);
  EXPECT_FALSE((*times)[0].steady());
}

TEST(SteadyTime, an_error_of_measuring_ends_it) {
  auto times =
      time_steadily(2, [&](size_t) -> Result<SampledTime> { return base::internal_error("lost"); });
  EXPECT_EQ(times.error().message, "lost");
}

}  // namespace
}  // namespace tokamak::compiler
