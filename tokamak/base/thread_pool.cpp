// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/thread_pool.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include <sched.h>

namespace tokamak::base {
namespace {

constexpr int kSpins =
    20000;  // Some tens of microseconds: longer than the gap between two kernels of a step.

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Processors allowed by the cgroup v2 quota, or `fallback` without one.
int cgroup_processors(int fallback) {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return fallback;
  return std::clamp(static_cast<int>(std::stod(quota) / period + 0.5), 1, fallback);
}

}  // namespace

int available_processors() {
  cpu_set_t set;
  int count = static_cast<int>(std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  return cgroup_processors(std::max(count, 1));
}

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads <= 0) num_threads = available_processors();
  for (int thread = 1; thread < num_threads; ++thread)
    workers_.emplace_back([this, thread] { work(thread); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_tasks(int thread) {
  try {
    for (int64_t index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < count_;)
      (*task_)(index, thread);
  } catch (...) {
    next_.store(count_);
    std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && epoch_.load(std::memory_order_acquire) == seen; ++spin)
      pause();
    epoch_.wait(seen, std::memory_order_acquire);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    run_tasks(thread);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::parallel_for(int64_t count, const std::function<void(int64_t, int)>& task) {
  if (count <= 0) return;
  if (workers_.empty() || count == 1) {
    for (int64_t index = 0; index < count; ++index) task(index, 0);
    return;
  }
  std::lock_guard job(job_mutex_);
  task_ = &task;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  run_tasks(0);
  for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace tokamak::base
