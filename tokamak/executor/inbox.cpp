// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/inbox.h"

#include <algorithm>
#include <iterator>

namespace tokamak::executor {
namespace {

template <typename Counts, typename Key>
int64_t count_of(const Counts& counts, const Key& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

template <typename Counts, typename Key>
void drop_one(Counts& counts, const Key& key) {
  const auto found = counts.find(key);
  TKM_CHECK(found != counts.end(), "a request left that was not put");
  if (--found->second == 0) counts.erase(found);
}

}  // namespace

int64_t Inbox::limit_of(const Owner& owner) const {
  const int64_t few = std::max<int64_t>(1, max_waiting_ / 64), spare = max_waiting_ / 4;
  const bool group_has_few = count_of(waiting_of_group_, owner) < few;
  const bool key_has_few = count_of(waiting_of_key_, owner.key) < few;
  return max_waiting_ + spare * group_has_few + spare * key_has_few;
}

Result<void> Inbox::put(std::unique_ptr<ActiveRequest> request) {
  std::lock_guard lock(mutex_);
  if (failure_) return *failure_;
  if (closed_ || stopped_) {
    return Error{ErrorCode::kOverloaded, "the executor is shutting down and takes no requests", {}};
  }
  const Owner owner = request->request().owner;
  if (const int64_t count = waiting_; count >= limit_of(owner)) {
    return Error{
        ErrorCode::kOverloaded,
        fmt::format("the queue is full: {} requests wait, max_queue is {}", count, max_waiting_),
        "try again later"};
  }
  ++waiting_;
  ++waiting_of_group_[owner];
  ++waiting_of_key_[owner.key];
  arrivals_.push_back(std::move(request));
  wake_ = true;
  woken_.notify_one();
  return {};
}

void Inbox::left(const Owner& owner) {
  std::lock_guard lock(mutex_);
  --waiting_;
  drop_one(waiting_of_group_, owner);
  drop_one(waiting_of_key_, owner.key);
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

void Inbox::hang(Error error) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(error);
  hangs_ = true;
  idled_.notify_all();
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
  idled_.wait(lock, [&] { return (idle_ && !wake_) || stopped_ || hangs_; });
}

}  // namespace tokamak::executor
