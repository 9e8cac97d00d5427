// SPDX-License-Identifier: Apache-2.0
// What the step loop's thread waits for in the session, for others to see: a call that never
// returns cannot say so itself.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "tokamak/executor/request.h"

namespace tokamak::executor {

/// Of the real clock, whatever the executor's own. Methods may be called from any thread.
class StepWatch {
 public:
  struct Step {
    TimePoint since;
    int64_t number = 0;  ///< Of the steps so far.
    int64_t num_sequences = 0, num_tokens = 0, num_rows = 0;
  };

  /// The session is called on behalf of `step`, until the value ends.
  class Call {
   public:
    Call(StepWatch& watch, Step step) : watch_(watch) {
      step.since = Clock::now();
      watch_.set(step);
    }
    ~Call() { watch_.set({}); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    StepWatch& watch_;
  };

  /// The step that the session has been called for since before `time`, if there is one.
  std::optional<Step> called_before(TimePoint time) const {
    std::lock_guard lock(mutex_);
    if (!step_ || step_->since > time) return {};
    return step_;
  }

 private:
  void set(std::optional<Step> step) {
    std::lock_guard lock(mutex_);
    step_ = step;
  }

  mutable std::mutex mutex_;
  std::optional<Step> step_;
};

}  // namespace tokamak::executor
