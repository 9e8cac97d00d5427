// SPDX-License-Identifier: Apache-2.0
// The serving loop: takes requests, asks the scheduler, runs a step, hands out tokens.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "tokamak/executor/active_request.h"
#include "tokamak/executor/inbox.h"
#include "tokamak/executor/options.h"
#include "tokamak/executor/step_pipeline.h"

namespace tokamak::executor {

/// Owns the session and all requests. One thread calls run() (or turn(), in tests and simulations);
/// it alone touches requests, pages and session. A turn launches the next step before it waits for
/// the one under way, unless what comes next depends on what that one says. An error of a row fails
/// its request; a step that fails is tried again in halves, until the requests that make it fail
/// are found and failed; the loop goes on. A lost device (ErrorCode::kDevice) fails all requests,
/// those that come later, too. docs/contracts/step_loop.md has the details.
class StepLoop {
 public:
  /// `options` are valid for the session. `inbox` is shared with streams, which may outlive the
  /// loop.
  StepLoop(std::unique_ptr<runtime::Session> session,
           const ExecutorOptions& options,
           std::shared_ptr<Inbox> inbox);
  ~StepLoop();

  /// Turns, and sleeps when there is nothing to do, until the inbox is stopped; then cancels what
  /// is left.
  void run();
  /// One turn. False if there is nothing left to do.
  bool turn();

  /// From any thread.
  ExecutorStats stats() const;

  /// From any thread: the step that the session has been called for since before `time`, and what
  /// the session says about it.
  std::optional<StepWatch::Step> step_called_before(TimePoint time) const {
    return pipeline_.watch().called_before(time);
  }
  std::string describe_step() const { return pipeline_.describe_step(); }

  /// For tests, between turns: the invariants of pages and states. Throws CheckFailure.
  void check_invariants() const;

 private:
  bool take_arrivals();
  void take_forked();
  void insert(std::vector<std::unique_ptr<ActiveRequest>>& requests);
  void leave_queue(const ActiveRequest& request);
  void sort_active();
  void end_cancelled(bool cancels);
  void advance();
  bool launch_next();
  bool follow_length(ActiveRequest& request);
  bool plan_capacity();
  bool schedule();
  void admit(ActiveRequest& request);
  bool get_pages(const Chunk& chunk);
  std::vector<Part> parts_of(std::span<const Chunk> chunks) const;
  void finish_oldest();
  void run_alone(std::vector<Part> parts);
  void try_in_halves(std::span<const Part> parts, const Error& error);
  void hand_out(std::span<const Part> parts, std::span<Result<runtime::Sampled>> sampled);
  void hand_out(const Part& part, std::span<Result<runtime::Sampled>> sampled, TimePoint time);
  void lose_device(const Error& error);
  bool lost() const { return failure_.has_value(); }
  bool faulty(Fault fault, const ActiveRequest& request) const;
  void end(ActiveRequest& request, FinishReason reason);
  void fail(ActiveRequest& request, const Error& error);
  void fail_all(const Error& error);
  void forget_finished();
  void publish();
  TimePoint now() const { return options_.now(); }

  const ExecutorOptions options_;
  ExecutorStats stats_;  // Of the loop's thread; published_ is the copy for others.
  StepPipeline pipeline_;
  const std::shared_ptr<Inbox> inbox_;
  const BatchLimits batch_limits_;
  CapacityPlan capacity_;
  KvCache cache_;

  std::vector<std::shared_ptr<ActiveRequest>> active_;  // None is finished.
  FairOrder fair_;
  bool in_order_ = true;  // active_ is in the order of turns.
  std::vector<std::unique_ptr<ActiveRequest>> arrivals_, forked_;
  std::optional<TimePoint> next_deadline_;  // No request expires before.
  std::optional<Error> failure_;            // The device is lost.

  // The step at hand; members for their memory.
  std::vector<CapacityPlan::Verdict> verdicts_;
  std::vector<Demand> demands_;
  std::vector<Claim> claims_;
  std::vector<Chunk> chunks_;

  mutable std::mutex published_mutex_;
  ExecutorStats published_;
};

/// The limits that the scheduler works with under `options`.
CapacityLimits capacity_limits(const ExecutorOptions& options, const runtime::SessionInfo& info);
BatchLimits batch_limits(const ExecutorOptions& options, const runtime::SessionInfo& info);

}  // namespace tokamak::executor
