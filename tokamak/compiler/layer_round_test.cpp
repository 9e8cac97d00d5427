// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/layer_round.h"

#include <numeric>

#include <gtest/gtest.h>

namespace tokamak::compiler {
namespace {

/// A clock that knows what each finalist of each problem takes, and how much a pair of neighbours
/// gains by standing together.
struct FakeLayer {
  std::vector<std::vector<double>> us;
  std::function<double(const Assignment&)> gain = [](const Assignment&) { return 0.0; };
  int num_compared = 0;

  double time(const Assignment& a) const {
    double sum = -gain(a);
    for (size_t p = 0; p < us.size(); ++p) sum += us[p][a[p]];
    return sum;
  }
  std::vector<Verdict> verdicts() {
    std::vector<size_t> counts;
    for (const auto& finalists : us) counts.push_back(finalists.size());
    auto compare = [&](const Assignment& a, const Assignment& b) -> Result<LayerTimes> {
      ++num_compared;
      return LayerTimes{time(a), time(b)};
    };
    return decide(counts, compare).value();
  }
};

TEST(LayerRound, a_finalist_takes_over_where_the_layer_is_faster_with_it) {
  FakeLayer layer{.us = {{100}, {50, 45, 48}}};
  Verdict verdict = layer.verdicts()[1];
  EXPECT_EQ(verdict.winner, 1u);
  EXPECT_EQ(verdict.rival, 0u);
  EXPECT_DOUBLE_EQ(verdict.layer_us, 145);
  EXPECT_DOUBLE_EQ(verdict.rival_layer_us, 150);
  EXPECT_EQ(layer.num_compared, 2);
}

TEST(LayerRound, a_gain_within_the_noise_changes_nothing) {
  FakeLayer layer{.us = {{100}, {100, 99.1}}};  // 0.45 % of the layer.
  Verdict verdict = layer.verdicts()[1];
  EXPECT_EQ(verdict.winner, 0u);
  EXPECT_EQ(verdict.rival, 1u);
  EXPECT_DOUBLE_EQ(verdict.layer_us, 200);
  EXPECT_DOUBLE_EQ(verdict.rival_layer_us, 199.1);
}

TEST(LayerRound, the_rival_of_one_that_stays_is_the_one_that_came_closest) {
  FakeLayer layer{.us = {{50, 60, 52}}};
  Verdict verdict = layer.verdicts()[0];
  EXPECT_EQ(verdict.winner, 0u);
  EXPECT_EQ(verdict.rival, 2u);
  EXPECT_DOUBLE_EQ(verdict.rival_layer_us, 52);
}

TEST(LayerRound, later_problems_are_tried_beside_the_winners_of_earlier_ones) {
  // The second problem's other finalist is worth it only beside the first's.
  FakeLayer layer{.us = {{100, 90}, {100, 110}},
                  .gain = [](const Assignment& a) { return a[0] == 1 && a[1] == 1 ? 30.0 : 0.0; }};
  auto verdicts = layer.verdicts();
  EXPECT_EQ(verdicts[0].winner, 1u);
  EXPECT_EQ(verdicts[1].winner, 1u);
  EXPECT_DOUBLE_EQ(verdicts[1].layer_us, 170);
  EXPECT_DOUBLE_EQ(verdicts[1].rival_layer_us, 190);
}

TEST(LayerRound, the_second_to_take_over_is_compared_with_the_first) {
  FakeLayer layer{.us = {{50, 40, 30}}};
  Verdict verdict = layer.verdicts()[0];
  EXPECT_EQ(verdict.winner, 2u);
  EXPECT_EQ(verdict.rival, 1u);
  EXPECT_DOUBLE_EQ(verdict.rival_layer_us, 40);
}

TEST(LayerRound, nothing_is_measured_where_there_is_nothing_to_decide) {
  FakeLayer layer{.us = {{50}, {20}}};
  auto verdicts = layer.verdicts();
  ASSERT_EQ(verdicts.size(), 2u);
  EXPECT_EQ(verdicts[1].winner, 0u);
  EXPECT_EQ(verdicts[1].layer_us, 0);
  EXPECT_EQ(layer.num_compared, 0);
}

TEST(LayerRound, what_measuring_fails_with_is_the_result) {
  const size_t counts[] = {2};
  auto verdicts = decide(counts, [](const Assignment&, const Assignment&) -> Result<LayerTimes> {
    return base::out_of_memory("no room for a layer");
  });
  ASSERT_FALSE(verdicts.ok());
  EXPECT_EQ(verdicts.error().message, "no room for a layer");
}

}  // namespace
}  // namespace tokamak::compiler
