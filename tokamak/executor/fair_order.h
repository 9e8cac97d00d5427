// SPDX-License-Identifier: Apache-2.0
// Whose turn it is: the order in which requests may hold pages, so that nobody's many requests go
// before somebody else's first.
//
// Goals: keys take turns, and within a key its groups (a client's request for many answers), each
// by urgency; whoever has a request gets one to run soon, however many others wait, and also when
// every place is taken; who is there first and alone keeps everything. The same input gives the
// same order.
// Non-goals: shares by weight or by tokens; being exact to less than half of what somebody has, as
// each preemption costs the work of a page.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "tokamak/executor/request.h"

namespace tokamak::executor {

/// What decides about the place of a request.
struct Claim {
  Owner owner;
  TimePoint arrival;
  Clock::duration head_start{0};  ///< For its priority; may be negative.
  uint64_t number = 0;            ///< Of requests that are as urgent, the lower goes first…
  int64_t index = 0;              ///< …and of its answers, the lower.
  bool running = false;           ///< Holds pages.
};

class FairOrder {
 public:
  /// `owner` got pages, or gave some back: others have been waiting for longer.
  void served(const Owner& owner, TimePoint time);
  /// The indices of `claims` in the order of their turns.
  ///   - Within a group the more urgent goes first, always.
  ///   - The i-th request of a group goes with the i-th of the other groups of its key, and so do
  ///     keys. Among these who was not served for longest goes first.
  ///   - Who runs counts as if only half as many of its owner's were before it, so that a place is
  ///     taken away for somebody who has less than half, and not for each who comes.
  std::vector<uint32_t> order(std::span<const Claim> claims);

 private:
  /// Times are of those who have requests; whoever comes anew has waited since it came.
  void forget_others(std::span<const Claim> claims);

  std::map<Owner, TimePoint> groups_;
  std::map<int64_t, TimePoint> keys_;
};

}  // namespace tokamak::executor
