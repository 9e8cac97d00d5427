// SPDX-License-Identifier: Apache-2.0
// Settings of an executor and what it reports of itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "tokamak/base/fields.h"
#include "tokamak/executor/request.h"

namespace tokamak::executor {

/// Where a failure can be injected.
enum class Fault {
  kPages,  ///< No pages can be had for the request.
  kStep,   ///< A step with the request in it fails as a whole.
  kRow,    ///< A row of the request: no token can be chosen, or none be scored.
  kText,   ///< The text of a token cannot be made.
};

struct ExecutorOptions {
  int64_t max_queue = 1024;   ///< Requests that may wait; more are refused as overloaded, but for
                              ///< some of owners who have few (Inbox). >= 1
  int64_t max_running = 0;    ///< Requests that may hold KV pages; 0: all that a step can take.
  int64_t budget_tokens = 0;  ///< Rows of one step; 0: all that a step can take. Less means shorter
                              ///< stalls of running answers when a long prompt comes.
  double priority_seconds = 1;  ///< A request of priority p is as urgent as if it had come p times
                                ///< this earlier, so nobody waits forever. >= 0
  double step_timeout_seconds = 600;  ///< A step that has not ended by then never will: all
                                      ///< requests end with an error, see Executor::failure(). 0:
                                      ///< it may take for ever.
  bool prefix_reuse = true;  ///< Prompts take the full pages that an equal prefix left behind.
  bool overlap = true;  ///< A step is launched before the tokens of the one before it are known,
                        ///< where the session can. Changes no answer; false is for finding faults.
  std::vector<int64_t> eos_ids;  ///< Tokens that end an answer (of the generation config); empty:
                                 ///< the tokenizer's.
  std::vector<int32_t> suppressed_ids;        ///< Tokens that no answer has (of the same config),
  std::vector<int32_t> begin_suppressed_ids;  ///< and tokens that no answer begins with.
  static constexpr auto kFields =
      std::tuple{Field{"max_queue", &ExecutorOptions::max_queue},
                 Field{"max_running", &ExecutorOptions::max_running},
                 Field{"budget_tokens", &ExecutorOptions::budget_tokens},
                 Field{"priority_seconds", &ExecutorOptions::priority_seconds},
                 Field{"step_timeout_seconds", &ExecutorOptions::step_timeout_seconds},
                 Field{"prefix_reuse", &ExecutorOptions::prefix_reuse},
                 Field{"overlap", &ExecutorOptions::overlap},
                 Field{"eos_ids", &ExecutorOptions::eos_ids},
                 Field{"suppressed_ids", &ExecutorOptions::suppressed_ids},
                 Field{"begin_suppressed_ids", &ExecutorOptions::begin_suppressed_ids}};
  /// What time it is; tests put a clock of their own here.
  std::function<TimePoint()> now = [] { return Clock::now(); };
  /// Asked at each place where something can fail; true makes it fail. For tests. Called by the
  /// step loop's thread.
  std::function<bool(Fault, const Request&)> fault;
  int prefix_hash_bits = 128;  ///< Fewer make the hashes of different prefixes collide, for tests.

  /// Errors: invalid, naming the field, its value and the limit.
  Result<void> validate(int64_t vocab_size) const;
};

/// Upper bounds of the buckets of ExecutorStats::step_tokens; vLLM has the same. Steps of more
/// tokens are in one more bucket.
inline constexpr std::array<int64_t, 13> kStepTokenBounds = {
    1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};

/// Steps by the number of tokens that they computed, of prompts and answers together.
struct StepTokens {
  std::array<int64_t, kStepTokenBounds.size() + 1> steps{};  ///< In each bucket alone.
  int64_t sum = 0;                                           ///< Of their tokens.

  void add(int64_t tokens) {
    const auto bound = std::lower_bound(kStepTokenBounds.begin(), kStepTokenBounds.end(), tokens);
    ++steps[static_cast<size_t>(bound - kStepTokenBounds.begin())];
    sum += tokens;
  }
};

/// A snapshot between two steps. Counters only grow; sums of seconds, too.
struct ExecutorStats {
  int64_t running = 0;  ///< Answers that hold pages.
  int64_t waiting =
      0;  ///< Answers that do not; of a request whose prompt is not computed yet, one.
  int64_t pages_used = 0, pages_total = 0;
  int64_t pages_cached = 0;  ///< Used by nobody, kept for those who come with the same prefix. Not
                             ///< in pages_used.
  int64_t requests = 0;      ///< That came.
  std::array<int64_t, 5> finished{};  ///< Answers, by FinishReason.
  int64_t admitted = 0;               ///< Requests that held pages for the first time.
  double queue_seconds = 0;           ///< From arrival to that, of all of these.

  int64_t prompt_tokens = 0;        ///< Computed, those of preempted requests again.
  int64_t output_tokens = 0;        ///< Sampled.
  int64_t prefix_query_tokens = 0;  ///< Prompt tokens of the requests that were admitted…
  int64_t prefix_hit_tokens = 0;    ///< …and of these, those that were taken from cached pages.
  int64_t preemptions = 0;
  int64_t evictions = 0;  ///< Cached pages that were given to others.

  int64_t steps = 0;
  int64_t failed_steps = 0;  ///< Of these. What was in them was tried again in smaller steps.
  StepTokens step_tokens;    ///< Of the steps that did not fail.
  double step_seconds = 0;   ///< From a step's launch, or the end of the one before it, to its end.
  double last_step_seconds = 0;
  double turn_seconds = 0;  ///< Spent in all of the turns in which a step ended.
};

}  // namespace tokamak::executor
