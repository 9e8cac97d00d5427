// SPDX-License-Identifier: Apache-2.0
// The two decisions of in-flight batching, as pure functions over plain structs: who may hold KV
// pages, and which tokens of whom go into the next step.
//
// Goals: all memory is used, and pages that several requests share count once; the order is fair
// and cannot starve anybody; the same input gives the same answer, so that both run in a simulator.
// Non-goals: reserving max_tokens ahead (a request that runs out of pages is preempted and computed
// again), swapping pages to the host.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tokamak::executor {

/// What the scheduler knows of a request.
struct Demand {
  bool running = false;    ///< Holds pages.
  int64_t num_tokens = 0;  ///< Prompt and output so far, the token that a step under way samples
                           ///< included, unless it is the last. Once all their keys and values are
                           ///< in the cache, the next token can be sampled.
  int64_t num_cached = 0;  ///< Of these, in the cache once the steps under way are done. 0 while
                           ///< not running; all of them if it only waits for those steps.
  bool samples = true;     ///< The last of them asks for a row of logits.
  int64_t first_scored = 0, end_scored = 0;  ///< So do these tokens: [first_scored, end_scored).
  std::span<const int32_t> pages;  ///< That others may hold, too: of those that it holds, or, while
                                   ///< it waits, would share once it runs.
};

struct CapacityLimits {
  int64_t num_pages = 0;
  int64_t page_tokens = 0;
  int64_t max_running = 0;  ///< Requests that may hold pages.
};

/// Walks requests in order of urgency (most urgent first) and lets each claim the pages of all its
/// tokens from what the ones before it left; a page that one before it has claimed is free.
///   - A running request whose claim no longer fits is preempted.
///   - A waiting request whose claim fits (with a page to grow for each request before it, so that
///     it is not preempted at once) is admitted; after the first that does not fit, no other
///     waiting request is: nobody is overtaken, so waiting is bounded by the more urgent requests.
/// Invariants: the claims of all that run sum up to <= num_pages, so that no step can run out of
/// pages; at most max_running run; the most urgent request runs, if its claim fits num_pages.
class CapacityPlan {
 public:
  enum class Verdict { kRuns, kWaits, kPreempted };

  explicit CapacityPlan(const CapacityLimits& limits);
  /// Begins a walk.
  void begin();
  /// What becomes of the next request.
  Verdict next(const Demand& demand);
  /// False once a waiting request had to wait: so will all others.
  bool admitting() const { return admitting_; }

 private:
  const CapacityLimits limits_;
  int64_t pages_left_ = 0, num_running_ = 0;
  bool admitting_ = true;
  std::vector<uint32_t> claimed_in_;  // Of each page: the walk in which it was last claimed.
  uint32_t walk_ = 0;
};

struct BatchLimits {
  int64_t budget_tokens = 0;  ///< Rows of the packed batch.
  int64_t max_sequences = 0;
  int64_t max_rows = 0;  ///< Rows of logits.
};

/// The next `num_tokens` tokens of demand `index`.
struct Chunk {
  int32_t index = 0;
  int32_t num_tokens = 0;
  int32_t num_rows = 0;  ///< Of logits.
  bool samples = false;  ///< The last row is of the last token: a new one is sampled.
};

/// One step: first a token of every running request that decodes, then chunks of prompts, most
/// urgent first, until the budget is spent. Invariants: no limit is exceeded; no request appears
/// twice; if max_running <= each of the limits, every decode is in every step and the most urgent
/// prompt advances in every step. `chunks` is cleared and filled.
void plan_batch(std::span<const Demand> demands,
                const BatchLimits& limits,
                std::vector<Chunk>& chunks);

}  // namespace tokamak::executor
