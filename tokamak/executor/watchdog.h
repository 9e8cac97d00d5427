// SPDX-License-Identifier: Apache-2.0
// Ends the requests of a step loop whose thread is stuck: a step that does not end in time never
// comes back to say so.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tokamak/executor/inbox.h"
#include "tokamak/executor/step_loop.h"

namespace tokamak::executor {

class Watchdog {
 public:
  /// Watches `loop` from a thread of its own, if `timeout_seconds` > 0.
  Watchdog(double timeout_seconds,
           std::shared_ptr<const StepLoop> loop,
           std::shared_ptr<Inbox> inbox);
  ~Watchdog();

  /// A stream that ends with an error if a step hangs.
  void add(const std::shared_ptr<ResponseQueue>& responses);
  /// The loop's thread is at its end.
  void loop_ended();
  /// Waits until the loop's thread has ended or hangs; true if it hangs.
  bool wait_for_loop();

 private:
  void run();
  std::optional<Error> overdue() const;
  void end_all(const Error& error);

  const double timeout_seconds_;
  const std::shared_ptr<const StepLoop> loop_;
  const std::shared_ptr<Inbox> inbox_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::weak_ptr<ResponseQueue>> open_;
  size_t prune_at_ = 1024;  // The number of open_ at which those that are gone are left out.
  bool loop_ended_ = false, hangs_ = false;
  std::thread thread_;
};

}  // namespace tokamak::executor
