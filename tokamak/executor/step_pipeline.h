// SPDX-License-Identifier: Apache-2.0
// The steps under way on the session, oldest first: what each does for whom. With two of them the
// device goes from one step to the next without waiting for the host: a step is launched before the
// tokens of the one before it are known.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "tokamak/executor/active_request.h"
#include "tokamak/executor/options.h"
#include "tokamak/executor/step_watch.h"
#include "tokamak/runtime/session.h"

namespace tokamak::executor {

/// What a step does for a request.
struct Part {
  std::shared_ptr<ActiveRequest> request;  ///< Null: what comes of it is dropped.
  int32_t num_tokens = 0;                  ///< That it computes.
  int32_t num_rows = 0;                    ///< Of logits.
  bool samples = false;                    ///< Of the last row; a new token.
};

class StepPipeline {
 public:
  struct Finished {
    std::vector<Part> parts;
    Result<runtime::StepOutput> output;
  };

  /// Counts steps and their time in `stats`, which outlive it, as do `options`.
  StepPipeline(std::unique_ptr<runtime::Session> session,
               const ExecutorOptions& options,
               ExecutorStats& stats);

  const runtime::SessionInfo& info() const { return session_->info(); }
  /// From any thread.
  const StepWatch& watch() const { return watch_; }
  std::string describe_step() const { return session_->describe_step(); }
  bool empty() const { return steps_.empty(); }
  /// A step may be launched now: none is under way, or there is room for one and nobody in the
  /// newest one waits for its end.
  bool may_launch() const;

  /// Starts a step and takes `parts`, whose requests then have it under way. Errors: of
  /// Session::launch(), what it throws, what is injected; then nothing has changed.
  Result<void> launch(std::vector<Part>& parts);
  /// Waits for the oldest step. Errors: of Session::finish(), or what it throws.
  Finished finish();
  /// Drops what the steps under way do for `request`, which lives until they are finished.
  void drop(const ActiveRequest& request);
  /// Forgets the steps under way: the device is lost, or nobody asks any more.
  void clear() { steps_.clear(); }

  /// For tests: the tokens of `request` that are under way.
  int64_t tokens_under_way(const ActiveRequest& request) const;

 private:
  struct LaunchedStep {
    std::vector<Part> parts;
    std::vector<std::shared_ptr<ActiveRequest>> dropped;  ///< The session may still read them.
    bool may_be_followed = true;
    TimePoint start;
    StepWatch::Step watched;
  };
  void pack(std::span<const Part> parts);
  static bool may_be_followed(std::span<const Part> parts);
  void check_faults(std::span<const Part> parts) const;
  void count_step(TimePoint start, bool failed);

  const std::unique_ptr<runtime::Session> session_;
  const ExecutorOptions& options_;
  ExecutorStats& stats_;
  const size_t depth_;
  StepWatch watch_;
  int64_t num_launched_ = 0;
  std::deque<LaunchedStep> steps_;
  TimePoint last_finish_{};

  // The step at hand; members for their memory.
  std::vector<int32_t> token_ids_, positions_, logit_rows_;
  std::vector<op::SequenceSpan> sequences_;
  std::vector<runtime::SampleRow> samples_;
};

}  // namespace tokamak::executor
