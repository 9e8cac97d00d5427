// SPDX-License-Identifier: Apache-2.0
// Settings of an executor and what it reports of itself.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "tokamak/base/fields.h"
#include "tokamak/executor/request.h"

namespace tokamak::executor {

struct ExecutorOptions {
  int64_t max_queue = 1024;   ///< Requests that may wait; more are refused as overloaded. >= 1
  int64_t max_running = 0;    ///< Requests that may hold KV pages; 0: all that a step can take.
  int64_t budget_tokens = 0;  ///< Rows of one step; 0: all that a step can take. Less means shorter
                              ///< stalls of running answers when a long prompt comes.
  double priority_seconds = 10;  ///< A request of priority p is as urgent as if it had come p times
                                 ///< this earlier, so nobody waits forever. >= 0
  std::vector<int64_t> eos_ids;  ///< Tokens that end an answer (of the generation config); empty:
                                 ///< the tokenizer's.
  static constexpr auto kFields =
      std::tuple{Field{"max_queue", &ExecutorOptions::max_queue},
                 Field{"max_running", &ExecutorOptions::max_running},
                 Field{"budget_tokens", &ExecutorOptions::budget_tokens},
                 Field{"priority_seconds", &ExecutorOptions::priority_seconds},
                 Field{"eos_ids", &ExecutorOptions::eos_ids}};
  /// What time it is; tests put a clock of their own here.
  std::function<TimePoint()> now = [] { return Clock::now(); };

  /// Errors: invalid, naming the field, its value and the limit.
  Result<void> validate(int64_t vocab_size) const;
};

/// A snapshot between two steps. Counters only grow.
struct ExecutorStats {
  int64_t running = 0;  ///< Requests that hold pages.
  int64_t waiting = 0;
  int64_t pages_used = 0, pages_total = 0;
  int64_t steps = 0;
  double step_seconds = 0;  ///< Spent in Session::step.
  double last_step_seconds = 0;
  double turn_seconds = 0;    ///< Spent in all of the turns that ran a step, the step included.
  int64_t prompt_tokens = 0;  ///< Computed, those of preempted requests again.
  int64_t output_tokens = 0;  ///< Sampled.
  int64_t preemptions = 0;
  std::array<int64_t, 5> finished{};  ///< By FinishReason.
};

}  // namespace tokamak::executor
