// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/inbox.h"

#include <iterator>

namespace tokamak::executor {

Result<void> Inbox::put(std::unique_ptr<ActiveRequest> request) {
  std::lock_guard lock(mutex_);
  if (failure_) return *failure_;
  if (closed_ || stopped_) {
    return Error{ErrorCode::kOverloaded, "the executor is shutting down and takes no requests", {}};
  }
  if (const int64_t count = waiting; count >= max_waiting_) {
    return Error{
        ErrorCode::kOverloaded,
        fmt::format("the queue is full: {} requests wait, max_queue is {}", count, max_waiting_),
        "try again later"};
  }
  ++waiting;
  arrivals_.push_back(std::move(request));
  wake_ = true;
  woken_.notify_one();
  return {};
}

bool Inbox::take(std::vector<std::unique_ptr<ActiveRequest>>& requests) {
  std::lock_guard lock(mutex_);
  std::move(arrivals_.begin(), arrivals_.end(), std::back_inserter(requests));
  arrivals_.clear();
  return std::exchange(cancels_, false);
}

void Inbox::wake() {
  std::lock_guard lock(mutex_);
  cancels_ = true;
  wake_ = true;
  woken_.notify_one();
}

void Inbox::wait() {
  std::unique_lock lock(mutex_);
  idle_ = true;
  if (!wake_) idled_.notify_all();
  woken_.wait(lock, [&] { return wake_ || stopped_; });
  wake_ = idle_ = false;
}

void Inbox::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
}

void Inbox::fail(Error error) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(error);
}

std::optional<Error> Inbox::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

void Inbox::stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  woken_.notify_one();
  idled_.notify_all();
}

void Inbox::wait_idle() {
  std::unique_lock lock(mutex_);
  idled_.wait(lock, [&] { return (idle_ && !wake_) || stopped_; });
}

}  // namespace tokamak::executor
