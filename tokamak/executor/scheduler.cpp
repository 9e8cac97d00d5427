// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/scheduler.h"

#include <algorithm>

namespace tokamak::executor {

void plan_capacity(std::span<const Demand> demands,
                   const CapacityLimits& limits,
                   Capacity& capacity) {
  capacity.admit.clear();
  capacity.preempt.clear();
  int64_t pages_left = limits.num_pages;
  int64_t num_running = 0;
  bool admitting = true;
  for (size_t i = 0; i < demands.size(); ++i) {
    const Demand& demand = demands[i];
    if (!demand.running && !admitting) continue;
    const int64_t claim = (demand.num_tokens + limits.page_tokens - 1) / limits.page_tokens;
    const int64_t reserve = demand.running ? 0 : num_running;
    if (num_running < limits.max_running && claim + reserve <= pages_left) {
      pages_left -= claim;
      ++num_running;
      if (!demand.running) capacity.admit.push_back(static_cast<int32_t>(i));
    } else if (demand.running) {
      capacity.preempt.push_back(static_cast<int32_t>(i));
    } else {
      admitting = false;
    }
  }
}

void plan_batch(std::span<const Demand> demands,
                const BatchLimits& limits,
                std::vector<Chunk>& chunks) {
  chunks.clear();
  int64_t tokens_left = limits.budget_tokens;
  int64_t sequences_left = limits.max_sequences;
  int64_t rows_left = limits.max_rows;
  auto take = [&](size_t index, int64_t num_tokens, bool samples) {
    chunks.push_back({static_cast<int32_t>(index), static_cast<int32_t>(num_tokens), samples});
    tokens_left -= num_tokens;
    sequences_left -= 1;
    rows_left -= samples;
  };
  for (size_t i = 0; i < demands.size(); ++i) {
    if (!demands[i].running || demands[i].num_tokens - demands[i].num_cached != 1) continue;
    if (std::min({tokens_left, sequences_left, rows_left}) > 0) take(i, 1, true);
  }
  for (size_t i = 0; i < demands.size() && tokens_left > 0 && sequences_left > 0; ++i) {
    const int64_t missing = demands[i].num_tokens - demands[i].num_cached;
    if (!demands[i].running || missing == 1) continue;
    if (missing > tokens_left) {
      take(i, tokens_left, false);
    } else if (rows_left > 0) {
      take(i, missing, true);
    } else {
      take(i, missing - 1, false);  // All but the token that would need a row of logits.
    }
  }
}

}  // namespace tokamak::executor
