// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/scheduler.h"

#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::executor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Demand waiting(int64_t num_tokens) {
  return {.running = false, .num_tokens = num_tokens, .num_cached = 0};
}
Demand prefilling(int64_t num_tokens, int64_t num_cached) {
  return {.running = true, .num_tokens = num_tokens, .num_cached = num_cached};
}
Demand decoding(int64_t num_tokens) {
  return prefilling(num_tokens, num_tokens - 1);
}

struct Capacity {
  std::vector<int32_t> admit, preempt;
};

Capacity capacity_of(const std::vector<Demand>& demands, const CapacityLimits& limits) {
  CapacityPlan plan(limits);
  plan.begin();
  Capacity capacity;
  for (size_t i = 0; i < demands.size(); ++i) {
    const auto verdict = plan.next(demands[i]);
    const int32_t index = static_cast<int32_t>(i);
    if (verdict == CapacityPlan::Verdict::kPreempted) capacity.preempt.push_back(index);
    if (verdict == CapacityPlan::Verdict::kRuns && !demands[i].running) {
      capacity.admit.push_back(index);
    }
  }
  return capacity;
}
Capacity capacity_of(const std::vector<Demand>& demands, int64_t pages, int64_t max_running = 100) {
  return capacity_of(demands, {.num_pages = pages, .page_tokens = 10, .max_running = max_running});
}

TEST(Capacity, AdmitsInOrderWhilePagesSuffice) {
  // Claims: 1, 2, 3 pages of 10 tokens; each newcomer leaves a page to each before it.
  const auto capacity = capacity_of({waiting(10), waiting(11), waiting(30), waiting(1)}, 8);
  EXPECT_THAT(capacity.admit, ElementsAre(0, 1, 2));
  EXPECT_THAT(capacity.preempt, IsEmpty());
}

TEST(Capacity, NobodyIsOvertakenByASmallerRequest) {
  const auto capacity = capacity_of({decoding(35), waiting(60), waiting(1)}, 8);
  EXPECT_THAT(capacity.admit, IsEmpty());
  EXPECT_THAT(capacity.preempt, IsEmpty());
}

TEST(Capacity, ALoneRequestMayTakeEverything) {
  EXPECT_THAT(capacity_of({waiting(80)}, 8).admit, ElementsAre(0));
  EXPECT_THAT(capacity_of({waiting(81)}, 8).admit, IsEmpty());
}

TEST(Capacity, ANewcomerLeavesAPageToGrowToEachBeforeIt) {
  EXPECT_THAT(capacity_of({decoding(20), decoding(20), waiting(20)}, 7).admit, IsEmpty());
  EXPECT_THAT(capacity_of({decoding(20), decoding(20), waiting(20)}, 8).admit, ElementsAre(2));
}

TEST(Capacity, TheLeastUrgentIsPreemptedWhenAnotherGrows) {
  EXPECT_THAT(capacity_of({decoding(20), decoding(20), decoding(20)}, 6).preempt, IsEmpty());
  EXPECT_THAT(capacity_of({decoding(21), decoding(20), decoding(20)}, 6).preempt, ElementsAre(2));
  EXPECT_THAT(capacity_of({decoding(31), decoding(21), decoding(20)}, 6).preempt, ElementsAre(1));
}

TEST(Capacity, AMoreUrgentRequestTakesThePagesOfOthers) {
  const auto capacity = capacity_of({waiting(50), decoding(30), decoding(30)}, 8);
  EXPECT_THAT(capacity.admit, ElementsAre(0));
  EXPECT_THAT(capacity.preempt, ElementsAre(2));
}

TEST(Capacity, NoMoreRunThanAllowed) {
  const auto demands = {decoding(5), waiting(5), decoding(5), waiting(5)};
  EXPECT_THAT(capacity_of(demands, 100, 3).admit, ElementsAre(1));
  const auto two = capacity_of(demands, 100, 2);
  EXPECT_THAT(two.admit, ElementsAre(1));
  EXPECT_THAT(two.preempt, ElementsAre(2));
}

TEST(Capacity, APromptClaimsAllItsPagesBeforeItsChunksNeedThem) {
  EXPECT_THAT(capacity_of({prefilling(60, 10), waiting(20)}, 8).admit, IsEmpty());
  EXPECT_THAT(capacity_of({prefilling(60, 10), waiting(10)}, 8).admit, ElementsAre(1));
}

TEST(Capacity, APageThatSeveralHoldCountsOnce) {
  const std::vector<int32_t> shared = {2, 0, 1};
  Demand first = decoding(40), second = decoding(40), third = waiting(40);
  first.pages = second.pages = third.pages = shared;
  EXPECT_THAT(capacity_of({first, second}, 5).preempt, IsEmpty()) << "3 shared pages and 1 each";
  EXPECT_THAT(capacity_of({first, second}, 4).preempt, ElementsAre(1));
  EXPECT_THAT(capacity_of({first, second, third}, 8).admit, ElementsAre(2))
      << "it leaves a page to both";
  EXPECT_THAT(capacity_of({first, second, third}, 7).admit, IsEmpty());
  // Pages of one that is preempted are claimed by the next that holds them.
  Demand urgent = waiting(50);
  EXPECT_THAT(capacity_of({urgent, first, second}, 8).preempt, ElementsAre(1, 2));
  EXPECT_THAT(capacity_of({urgent, first, second}, 9).preempt, ElementsAre(2));
}

TEST(Capacity, EachWalkBeginsAnew) {
  const std::vector<int32_t> pages = {0, 1};
  Demand demand = decoding(20);
  demand.pages = pages;
  CapacityPlan plan({.num_pages = 2, .page_tokens = 10, .max_running = 9});
  for (int walk = 0; walk < 3; ++walk) {
    plan.begin();
    EXPECT_EQ(plan.next(demand), CapacityPlan::Verdict::kRuns);
    EXPECT_EQ(plan.next(decoding(1)), CapacityPlan::Verdict::kPreempted);
  }
}

struct Taken {
  int32_t index;
  int32_t num_tokens;
  bool samples;
  friend bool operator==(const Taken&, const Taken&) = default;
  friend void PrintTo(const Taken& taken, std::ostream* out) {
    *out << "{" << taken.index << ", " << taken.num_tokens << ", " << taken.samples << "}";
  }
};

std::vector<Taken> batch_of(const std::vector<Demand>& demands, const BatchLimits& limits) {
  std::vector<Chunk> chunks;
  plan_batch(demands, limits, chunks);
  std::vector<Taken> taken;
  for (const Chunk& chunk : chunks) taken.push_back({chunk.index, chunk.num_tokens, chunk.samples});
  return taken;
}

constexpr BatchLimits kWide{.budget_tokens = 100, .max_sequences = 8, .max_rows = 8};

TEST(Batch, TakesDecodesFirstAndThenPrompts) {
  EXPECT_THAT(batch_of({prefilling(50, 0), decoding(9), waiting(4), decoding(3)}, kWide),
              ElementsAre(Taken{1, 1, true}, Taken{3, 1, true}, Taken{0, 50, true}));
}

TEST(Batch, APromptLongerThanTheBudgetIsTakenInChunks) {
  EXPECT_THAT(batch_of({prefilling(250, 0), decoding(9)}, kWide),
              ElementsAre(Taken{1, 1, true}, Taken{0, 99, false}));
  EXPECT_THAT(batch_of({prefilling(250, 99), decoding(9)}, kWide),
              ElementsAre(Taken{1, 1, true}, Taken{0, 99, false}));
  EXPECT_THAT(batch_of({prefilling(250, 198), decoding(9)}, kWide),
              ElementsAre(Taken{1, 1, true}, Taken{0, 52, true}));
}

TEST(Batch, TheRestOfTheBudgetGoesToTheNextPrompt) {
  EXPECT_THAT(batch_of({prefilling(70, 0), prefilling(70, 0), prefilling(9, 0)}, kWide),
              ElementsAre(Taken{0, 70, true}, Taken{1, 30, false}));
}

TEST(Batch, APromptOfOneTokenIsLikeADecode) {
  EXPECT_THAT(batch_of({prefilling(50, 0), prefilling(1, 0)}, kWide),
              ElementsAre(Taken{1, 1, true}, Taken{0, 50, true}));
}

TEST(Batch, KeepsTheLimitOfSequences) {
  EXPECT_THAT(batch_of({decoding(5), prefilling(5, 0), decoding(5)},
                       {.budget_tokens = 100, .max_sequences = 2, .max_rows = 8}),
              ElementsAre(Taken{0, 1, true}, Taken{2, 1, true}));
}

TEST(Batch, WithoutARowLeftAPromptStopsBeforeItsLastToken) {
  EXPECT_THAT(batch_of({decoding(5), prefilling(7, 0)},
                       {.budget_tokens = 100, .max_sequences = 8, .max_rows = 1}),
              ElementsAre(Taken{0, 1, true}, Taken{1, 6, false}));
}

TEST(Batch, TokensToBeScoredAskForARowEach) {
  Demand scored = prefilling(30, 0);
  scored.end_scored = 29;
  auto rows = [](const std::vector<Demand>& demands, const BatchLimits& limits) {
    std::vector<Chunk> chunks;
    plan_batch(demands, limits, chunks);
    std::vector<std::pair<int32_t, int32_t>> list;
    for (const Chunk& chunk : chunks) list.emplace_back(chunk.num_tokens, chunk.num_rows);
    return list;
  };
  using Pairs = std::vector<std::pair<int32_t, int32_t>>;
  const BatchLimits limits{.budget_tokens = 100, .max_sequences = 8, .max_rows = 10};
  EXPECT_EQ(rows({scored}, limits), (Pairs{{10, 10}}));
  EXPECT_EQ(rows({scored, decoding(5)}, limits), (Pairs{{1, 1}, {9, 9}}));
  scored.num_cached = 20;
  EXPECT_EQ(rows({scored}, limits), (Pairs{{10, 10}}));
  EXPECT_EQ(rows({decoding(5), scored}, limits), (Pairs{{1, 1}, {9, 9}}));
  scored.samples = false;
  EXPECT_EQ(rows({scored, decoding(5)}, limits), (Pairs{{1, 1}, {10, 9}}));
  scored.num_cached = 0;
  scored.first_scored = 25;
  EXPECT_EQ(rows({scored}, limits), (Pairs{{30, 4}})) << "the others were scored before";
  scored.samples = true;
  EXPECT_EQ(rows({scored}, limits), (Pairs{{30, 5}}));
}

TEST(Batch, NothingRunsIfNobodyHoldsPages) {
  EXPECT_THAT(batch_of({waiting(4), waiting(1)}, kWide), IsEmpty());
  EXPECT_THAT(batch_of({}, kWide), IsEmpty());
}

std::vector<Demand> random_demands(std::mt19937_64& random) {
  std::vector<Demand> demands(random() % 20);
  for (Demand& demand : demands) {
    demand.num_tokens = 1 + static_cast<int64_t>(random() % 90);
    demand.running = random() % 2;
    if (demand.running) {
      demand.num_cached =
          random() % 2 ? demand.num_tokens - 1 : static_cast<int64_t>(random()) % demand.num_tokens;
      demand.num_cached = std::max<int64_t>(demand.num_cached, 0);
    }
  }
  return demands;
}

TEST(Scheduler, ItsInvariantsHoldOnRandomDemands) {
  std::mt19937_64 random(17);
  for (int round = 0; round < 200000; ++round) {
    auto demands = random_demands(random);
    const CapacityLimits limits{.num_pages = 9 + static_cast<int64_t>(random() % 30),
                                .page_tokens = 10,
                                .max_running = 1 + static_cast<int64_t>(random() % 8)};
    const Capacity capacity = capacity_of(demands, limits);
    for (int32_t index : capacity.admit) {
      ASSERT_FALSE(std::exchange(demands[index].running, true));
    }
    for (int32_t index : capacity.preempt) {
      ASSERT_TRUE(std::exchange(demands[index].running, false));
      demands[index].num_cached = 0;
    }
    int64_t claimed = 0, running = 0;
    for (const Demand& demand : demands) {
      claimed += demand.running ? (demand.num_tokens + 9) / 10 : 0;
      running += demand.running;
    }
    ASSERT_LE(claimed, limits.num_pages);
    ASSERT_LE(running, limits.max_running);
    if (!demands.empty()) {
      ASSERT_TRUE(demands[0].running) << "the most urgent runs";
    }

    BatchLimits wide{.budget_tokens = limits.max_running + static_cast<int64_t>(random() % 50),
                     .max_sequences = limits.max_running + static_cast<int64_t>(random() % 3),
                     .max_rows = limits.max_running + static_cast<int64_t>(random() % 3)};
    std::vector<Chunk> chunks;
    plan_batch(demands, wide, chunks);
    int64_t tokens = 0, rows = 0;
    std::set<int32_t> seen;
    for (const Chunk& chunk : chunks) {
      const Demand& demand = demands[chunk.index];
      ASSERT_TRUE(seen.insert(chunk.index).second);
      ASSERT_TRUE(demand.running);
      ASSERT_GT(chunk.num_tokens, 0);
      ASSERT_LE(demand.num_cached + chunk.num_tokens, demand.num_tokens);
      ASSERT_EQ(chunk.samples, demand.num_cached + chunk.num_tokens == demand.num_tokens);
      tokens += chunk.num_tokens;
      rows += chunk.samples;
    }
    ASSERT_LE(tokens, wide.budget_tokens);
    ASSERT_LE(rows, wide.max_rows);
    ASSERT_LE(static_cast<int64_t>(chunks.size()), wide.max_sequences);
    bool first_prompt = true;
    for (size_t i = 0; i < demands.size(); ++i) {
      if (!demands[i].running) continue;
      const bool decodes = demands[i].num_tokens - demands[i].num_cached == 1;
      if (decodes || first_prompt) {
        ASSERT_TRUE(seen.count(static_cast<int32_t>(i)));
      }
      first_prompt &= decodes;
    }
  }
}

}  // namespace
}  // namespace tokamak::executor
