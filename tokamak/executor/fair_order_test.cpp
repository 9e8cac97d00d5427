// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/fair_order.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace tokamak::executor {
namespace {

using std::chrono::seconds;

TimePoint at(int second) {
  return TimePoint(seconds(second));
}

Claim claim(int64_t key, uint64_t group, int arrival, bool running = false) {
  static uint64_t number = 0;
  return {.owner = {key, group}, .arrival = at(arrival), .number = number++, .running = running};
}

/// The claims' names in their order.
std::string turns(FairOrder& fair, const std::vector<Claim>& claims, const std::string& names) {
  std::string out;
  for (uint32_t i : fair.order(claims)) out += names[i];
  return out;
}

std::string turns(const std::vector<Claim>& claims, const std::string& names) {
  FairOrder fair;
  return turns(fair, claims, names);
}

TEST(FairOrder, OfOneOwnerIsByUrgency) {
  std::vector<Claim> claims = {claim(1, 1, 30), claim(1, 1, 10, true), claim(1, 1, 20, true)};
  EXPECT_EQ(turns(claims, "abc"), "bca");
  claims[0].head_start = seconds(15);
  EXPECT_EQ(turns(claims, "abc"), "bac");
}

TEST(FairOrder, OfClientsWithOneRequestEachIsByUrgency) {
  EXPECT_EQ(turns({claim(1, 1, 3), claim(1, 2, 1), claim(1, 3, 2, true)}, "abc"), "bca");
}

TEST(FairOrder, LetsGroupsOfAKeyTakeTurns) {
  EXPECT_EQ(turns({claim(1, 1, 1),
                   claim(1, 1, 1),
                   claim(1, 1, 1),
                   claim(1, 2, 2),
                   claim(1, 2, 2),
                   claim(1, 3, 3)},
                  "AAABBC"),
            "ABCABA");
}

TEST(FairOrder, LetsKeysTakeTurnsHoweverManyGroupsTheyHave) {
  EXPECT_EQ(turns({claim(1, 1, 1),
                   claim(1, 2, 1),
                   claim(1, 3, 1),
                   claim(1, 4, 1),
                   claim(2, 5, 2),
                   claim(2, 5, 2)},
                  "aaaabb"),
            "ababaa");
}

TEST(FairOrder, AFirstRequestGoesBeforeTheManyThatRun) {
  std::vector<Claim> claims;
  std::string names;
  for (int i = 0; i < 8; ++i) {
    claims.push_back(claim(1, 1, 1, true));
    names += 'A';
  }
  claims.push_back(claim(1, 2, 5));
  EXPECT_EQ(turns(claims, names + "b"), "AbAAAAAAA");
  // The second and third of the newcomer take places only of who has more than twice as many.
  claims.push_back(claim(1, 2, 5));
  claims.push_back(claim(1, 2, 5));
  EXPECT_EQ(turns(claims, names + "bcd"), "AbAAcAAdAAA");
}

TEST(FairOrder, WhoHasHalfAsManyTakesNoPlaceAway) {
  std::vector<Claim> claims;
  for (int i = 0; i < 4; ++i) claims.push_back(claim(1, 1, 1, true));
  for (int i = 0; i < 2; ++i) claims.push_back(claim(1, 2, 2, true));
  claims.push_back(claim(1, 2, 2));
  EXPECT_EQ(turns(claims, "AAAABBc"), "ABAABAc");
}

TEST(FairOrder, WhoWasServedLastGoesLastWhereThereIsOnePlace) {
  FairOrder fair;
  // Many requests of one group, which came first; then another group's.
  std::vector<Claim> claims = {claim(1, 1, 1), claim(1, 1, 1), claim(1, 2, 2)};
  EXPECT_EQ(turns(fair, claims, "AAb"), "AbA");
  fair.served({1, 1}, at(1));
  claims[0].running = true;
  EXPECT_EQ(turns(fair, claims, "AAb"), "AbA");
  fair.served({1, 1}, at(9));  // It is done.
  claims.erase(claims.begin());
  EXPECT_EQ(turns(fair, claims, "Ab"), "bA");
  // Those who come later do not push it back again.
  claims.push_back(claim(1, 3, 10));
  EXPECT_EQ(turns(fair, claims, "Abc"), "bAc");
}

TEST(FairOrder, PriorityCountsAmongThoseWhoseTurnItIs) {
  std::vector<Claim> claims = {claim(1, 1, 1), claim(1, 2, 5), claim(1, 2, 5), claim(1, 3, 20)};
  for (int i : {1, 2}) claims[i].head_start = seconds(10);
  EXPECT_EQ(turns(claims, "ABBc"), "BAcB");
}

/// With one place and answers of one second, who waits while others have requests without end?
TEST(FairOrder, BoundsTheWaitOfEachOwnerByTheNumberOfOwners) {
  for (int places : {1, 3}) {
    FairOrder fair;
    std::mt19937 random(4);
    std::vector<Claim> claims;
    std::vector<int> last(5, 0);
    for (int now = 0; now < 300; ++now) {
      // Group 0 floods; the others have one request at a time.
      while (claims.size() < 40) claims.push_back(claim(7, 0, now));
      for (uint64_t group = 1; group < 5; ++group) {
        const bool has = std::any_of(
            claims.begin(), claims.end(), [&](const Claim& c) { return c.owner.group == group; });
        if (!has) claims.push_back(claim(7, group, now));
      }
      const auto order = fair.order(claims);
      std::vector<uint32_t> done(order.begin(), order.begin() + places);
      std::sort(done.rbegin(), done.rend());
      for (uint32_t i : done) {
        const auto group = static_cast<size_t>(claims[i].owner.group);
        EXPECT_LE(now - last[group], 6) << group << " with " << places;
        last[group] = now;
        fair.served(claims[i].owner, at(now));
        claims.erase(claims.begin() + i);
      }
    }
  }
}

TEST(FairOrder, HasEachClaimOnceAndKeepsUrgencyWithinAGroup) {
  std::mt19937 random(1);
  FairOrder fair;
  for (int round = 0; round < 300; ++round) {
    std::vector<Claim> claims;
    for (size_t i = random() % 30; i > 0; --i) {
      Claim one = claim(random() % 3, random() % 4, static_cast<int>(random() % 10), random() % 2);
      one.head_start = seconds(static_cast<int>(random() % 7) - 3);
      claims.push_back(one);
      if (random() % 4 == 0) fair.served(one.owner, at(static_cast<int>(random() % 10)));
    }
    const auto order = fair.order(claims);
    std::vector<bool> seen(claims.size());
    for (size_t i = 0; i < order.size(); ++i) {
      EXPECT_FALSE(seen[order[i]]);
      seen[order[i]] = true;
      for (size_t j = 0; j < i; ++j) {
        const Claim &earlier = claims[order[j]], &later = claims[order[i]];
        if (earlier.owner != later.owner) continue;
        EXPECT_LE(earlier.arrival - earlier.head_start, later.arrival - later.head_start);
      }
    }
    EXPECT_EQ(order.size(), claims.size());
  }
}

}  // namespace
}  // namespace tokamak::executor
