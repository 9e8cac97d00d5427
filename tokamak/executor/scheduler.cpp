// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/scheduler.h"

#include <algorithm>

namespace tokamak::executor {
namespace {

/// Rows of logits that the next `num_tokens` tokens ask for.
int64_t rows_of(const Demand& demand, int64_t num_tokens) {
  const int64_t end = demand.num_cached + num_tokens;
  const int64_t scored =
      std::min(end, demand.end_scored) - std::max(demand.num_cached, demand.first_scored);
  return std::max<int64_t>(scored, 0) + (demand.samples && end == demand.num_tokens);
}

}  // namespace

CapacityPlan::CapacityPlan(const CapacityLimits& limits)
    : limits_(limits), claimed_in_(limits.num_pages, 0) {}

void CapacityPlan::begin() {
  pages_left_ = limits_.num_pages;
  num_running_ = 0;
  admitting_ = true;
  if (++walk_ == 0) {  // The numbers of walks begin anew.
    std::fill(claimed_in_.begin(), claimed_in_.end(), 0);
    walk_ = 1;
  }
}

CapacityPlan::Verdict CapacityPlan::next(const Demand& demand) {
  if (!demand.running && !admitting_) return Verdict::kWaits;
  int64_t claim = (demand.num_tokens + limits_.page_tokens - 1) / limits_.page_tokens;
  for (int32_t page : demand.pages) claim -= claimed_in_[page] == walk_;
  const int64_t reserve = demand.running ? 0 : num_running_;
  if (num_running_ < limits_.max_running && claim + reserve <= pages_left_) {
    for (int32_t page : demand.pages) claimed_in_[page] = walk_;
    pages_left_ -= claim;
    ++num_running_;
    return Verdict::kRuns;
  }
  if (demand.running) return Verdict::kPreempted;
  admitting_ = false;
  return Verdict::kWaits;
}

void plan_batch(std::span<const Demand> demands,
                const BatchLimits& limits,
                std::vector<Chunk>& chunks) {
  chunks.clear();
  int64_t tokens_left = limits.budget_tokens;
  int64_t sequences_left = limits.max_sequences;
  int64_t rows_left = limits.max_rows;
  auto take = [&](size_t index) {
    const Demand& demand = demands[index];
    const int64_t missing = demand.num_tokens - demand.num_cached;
    int64_t num_tokens = std::min(missing, tokens_left);
    // Of rows that follow each other, a token less is a row less.
    for (int64_t over; (over = rows_of(demand, num_tokens) - rows_left) > 0;) num_tokens -= over;
    if (num_tokens <= 0) return;
    const int64_t num_rows = rows_of(demand, num_tokens);
    chunks.push_back({static_cast<int32_t>(index),
                      static_cast<int32_t>(num_tokens),
                      static_cast<int32_t>(num_rows),
                      demand.samples && num_tokens == missing});
    tokens_left -= num_tokens;
    sequences_left -= 1;
    rows_left -= num_rows;
  };
  for (const bool decodes : {true, false}) {
    for (size_t i = 0; i < demands.size() && tokens_left > 0 && sequences_left > 0; ++i) {
      const bool is_decode = demands[i].num_tokens - demands[i].num_cached == 1;
      if (demands[i].running && is_decode == decodes) take(i);
    }
  }
}

}  // namespace tokamak::executor
