// SPDX-License-Identifier: Apache-2.0
// The way of requests from the threads of clients to the step loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "tokamak/executor/active_request.h"

namespace tokamak::executor {

/// Where other threads leave requests for the step loop, and wake it. All methods may be called
/// from any thread.
class Inbox {
 public:
  explicit Inbox(int64_t max_waiting) : max_waiting_(max_waiting) {}

  /// Errors: that of fail(); overloaded, if max_waiting requests wait already or the inbox is
  /// closed. Who has few of those that wait may put more beyond them: a quarter of max_waiting if
  /// its group has few, and another if its key has. So nobody fills the queue for all others.
  Result<void> put(std::unique_ptr<ActiveRequest> request);
  /// A request of `owner` does not wait any more: it got pages for the first time, or has ended.
  void left(const Owner& owner);
  /// A request was cancelled.
  void wake();
  /// Moves what came since the last call behind `requests`. True if a request was cancelled since.
  bool take(std::vector<std::unique_ptr<ActiveRequest>>& requests);

  /// Sleeps until there is something to do.
  void wait();
  /// Refuses requests from now on.
  void close();
  /// Refuses requests with this error from now on: the session can serve no more.
  void fail(Error error);
  /// The same, and the step loop may never come back.
  void hang(Error error);
  std::optional<Error> failure() const;
  bool hangs() const { return hangs_; }
  /// Ends the step loop.
  void stop();
  bool stopped() const { return stopped_; }
  /// Waits until the step loop sleeps or has ended, and nothing is left in here; or hangs.
  void wait_idle();

  /// Requests that were put and have not left.
  int64_t waiting() const { return waiting_; }

 private:
  int64_t limit_of(const Owner& owner) const;

  const int64_t max_waiting_;
  mutable std::mutex mutex_;
  std::condition_variable woken_, idled_;
  std::vector<std::unique_ptr<ActiveRequest>> arrivals_;
  std::atomic<int64_t> waiting_{0};
  std::map<Owner, int64_t> waiting_of_group_;
  std::map<int64_t, int64_t> waiting_of_key_;
  bool cancels_ = false, wake_ = false, idle_ = false, closed_ = false;
  std::optional<Error> failure_;
  std::atomic<bool> hangs_{false}, stopped_{false};
};

}  // namespace tokamak::executor
