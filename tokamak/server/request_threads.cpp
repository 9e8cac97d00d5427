// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/request_threads.h"

#include <algorithm>
#include <exception>

#include "tokamak/base/log.h"

namespace tokamak::server {
namespace {

/// What a request costs apart from its bytes, as bytes.
constexpr double kBaseCost = 4096;

}  // namespace

RequestThreads::RequestThreads(int64_t num_threads, int64_t max_waiting)
    : max_waiting_(static_cast<size_t>(max_waiting)) {
  for (int64_t i = 0; i < num_threads; ++i) threads_.emplace_back([this] { work(); });
}

RequestThreads::~RequestThreads() {
  stop();
}

bool RequestThreads::later(const Waiting& a, const Waiting& b) {
  return a.due != b.due ? a.due > b.due : a.number > b.number;
}

bool RequestThreads::post(int owner, int64_t cost_bytes, Task task) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_ || waiting_.size() >= max_waiting_) return false;
    const double cost = kBaseCost + static_cast<double>(cost_bytes);
    double part = 1;
    if (owner >= 0) part += static_cast<double>(num_waiting_of_[owner]++);
    waiting_.push_back(
        {virtual_clock_ + cost * part, next_number_++, owner, cost, std::move(task)});
    std::push_heap(waiting_.begin(), waiting_.end(), later);
  }
  changed_.notify_one();
  return true;
}

RequestThreads::Waiting RequestThreads::take() {
  std::pop_heap(waiting_.begin(), waiting_.end(), later);
  Waiting next = std::move(waiting_.back());
  waiting_.pop_back();
  ++num_running_;
  virtual_clock_ += next.cost / static_cast<double>(std::ssize(waiting_) + num_running_);
  if (next.owner >= 0 && --num_waiting_of_[next.owner] == 0) num_waiting_of_.erase(next.owner);
  return next;
}

void RequestThreads::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    {
      Waiting next = take();
      lock.unlock();
      try {
        next.task();
      } catch (const std::exception& e) {
        base::log(base::LogLevel::kError, "a request thread's task failed: {}", e.what());
      }
    }
    lock.lock();
    --num_running_;
  }
}

void RequestThreads::stop() {
  std::vector<Waiting> dropped;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(waiting_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace tokamak::server
