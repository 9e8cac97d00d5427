// SPDX-License-Identifier: Apache-2.0
// The threads that parse bodies, render templates and tokenize, and the queue in front of them.
//
// The queue is fair by cost, which is a request's bytes: each of those that wait is served as if it
// had an equal part of the threads (weighted fair queueing), the requests of one API key sharing
// the part of one. So a short request waits for at most what the threads are at, however many long
// ones came before it, and a long one waits for a bounded number of short ones.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace tokamak::server {

class RequestThreads {
 public:
  using Task = std::function<void()>;

  RequestThreads(int64_t num_threads, int64_t max_waiting);
  /// Stops.
  ~RequestThreads();

  /// Queues a task; `owner` is the API key that it is for, -1 without one. False if too many wait.
  bool post(int owner, int64_t cost_bytes, Task task);
  /// Drops what waits, lets what runs end.
  void stop();

 private:
  struct Waiting {
    double due = 0;  // On virtual_clock_.
    uint64_t number = 0;
    int owner = -1;
    double cost = 0;
    Task task;
  };
  static bool later(const Waiting& a, const Waiting& b);

  void work();
  Waiting take();

  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Waiting> waiting_;           // A heap, the earliest due in front.
  std::map<int, int64_t> num_waiting_of_;  // Of owners that have some.
  double virtual_clock_ = 0;  // Bytes that each request has been served if all are alike.
  uint64_t next_number_ = 0;
  int64_t num_running_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tokamak::server
