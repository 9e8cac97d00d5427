// SPDX-License-Identifier: Apache-2.0
// The one pool that compute runs on. A decode step crosses it some hundred times, so workers spin
// for a short while between jobs before they sleep; one job runs at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tokamak::base {

/// Number of processors that this process may use (affinity mask and cgroup quota taken into
/// account).
int available_processors();

class ThreadPool {
 public:
  /// `num_threads` counts the calling thread; 0 takes available_processors().
  explicit ThreadPool(int num_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls task(index, thread) for each index in [0, count) on all threads, the caller's included,
  /// and returns when all are done. `thread` is in [0, num_threads). Indices are claimed in order.
  /// The first exception is rethrown here. Not reentrant.
  void parallel_for(int64_t count, const std::function<void(int64_t index, int thread)>& task);

 private:
  void work(int thread);
  void run_tasks(int thread);

  std::vector<std::thread> workers_;
  std::mutex job_mutex_;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};
  int64_t count_ = 0;
  const std::function<void(int64_t, int)>* task_ = nullptr;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace tokamak::base
