// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/fair_order.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace tokamak::executor {
namespace {

/// Where a claim stands among those that it takes turns with.
struct Turn {
  int64_t round = 0;
  TimePoint since;
};

/// Gives the claims of each owner their rounds. `order` has each owner's claims together and in
/// their order, which rounds and times never contradict.
template <typename SameOwner, typename LastServed>
void give_turns(std::span<const Claim> claims,
                std::span<const uint32_t> order,
                SameOwner same_owner,
                LastServed last_served,
                std::vector<Turn>& turns) {
  int64_t before = 0;  // Of the same owner.
  Turn last;
  for (size_t i = 0; i < order.size(); ++i) {
    const Claim& claim = claims[order[i]];
    const bool first = i == 0 || !same_owner(claims[order[i - 1]], claim);
    before = first ? 0 : before + 1;
    Turn turn{claim.running ? (before + 1) / 2 : before, claim.arrival};
    if (!claim.running) turn.since = std::max(turn.since, last_served(claim.owner));
    turn.since -= claim.head_start;
    if (!first) turn = {std::max(turn.round, last.round), std::max(turn.since, last.since)};
    turns[order[i]] = last = turn;
  }
}

template <typename Map, typename Key>
TimePoint time_of(const Map& times, const Key& key) {
  const auto found = times.find(key);
  return found == times.end() ? TimePoint::min() : found->second;
}

}  // namespace

void FairOrder::served(const Owner& owner, TimePoint time) {
  groups_[owner] = time;
  keys_[owner.key] = time;
}

void FairOrder::forget_others(std::span<const Claim> claims) {
  if (groups_.size() <= 2 * claims.size() + 16) return;
  decltype(groups_) groups;
  decltype(keys_) keys;
  for (const Claim& claim : claims) {
    if (auto found = groups_.find(claim.owner); found != groups_.end()) groups.insert(*found);
    if (auto found = keys_.find(claim.owner.key); found != keys_.end()) keys.insert(*found);
  }
  groups_ = std::move(groups);
  keys_ = std::move(keys);
}

std::vector<uint32_t> FairOrder::order(std::span<const Claim> claims) {
  forget_others(claims);
  std::vector<uint32_t> order(claims.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<Turn> turns(claims.size());
  const auto urgency = [](const Claim& c) {
    return std::make_tuple(c.arrival - c.head_start, c.number, c.index);
  };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const Owner &x = claims[a].owner, &y = claims[b].owner;
    if (x != y) return std::tie(x.key, x.group) < std::tie(y.key, y.group);
    return urgency(claims[a]) < urgency(claims[b]);
  });
  const auto by_turn = [&](uint32_t a, uint32_t b) {
    return std::tie(turns[a].round, turns[a].since) < std::tie(turns[b].round, turns[b].since);
  };
  give_turns(
      claims,
      order,
      [](const Claim& a, const Claim& b) { return a.owner == b.owner; },
      [&](const Owner& owner) { return time_of(groups_, owner); },
      turns);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (claims[a].owner.key != claims[b].owner.key)
      return claims[a].owner.key < claims[b].owner.key;
    return by_turn(a, b);
  });
  give_turns(
      claims,
      order,
      [](const Claim& a, const Claim& b) { return a.owner.key == b.owner.key; },
      [&](const Owner& owner) { return time_of(keys_, owner.key); },
      turns);
  std::stable_sort(order.begin(), order.end(), by_turn);
  return order;
}

}  // namespace tokamak::executor
