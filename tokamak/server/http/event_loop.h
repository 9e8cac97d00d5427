// SPDX-License-Identifier: Apache-2.0
// A thread that waits for many sockets. Everything of one connection happens in one loop, so a
// connection needs no lock.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <unordered_set>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace tokamak::server {

class Connection;

class EventLoop : public std::enable_shared_from_this<EventLoop> {
 public:
  EventLoop() : work_(context.get_executor()), sweeper_(context) {}
  ~EventLoop();

  /// Starts the thread. Each `sweep_every`, connections past their deadline are closed.
  void start(std::chrono::nanoseconds sweep_every);
  /// From another thread: answers under way end with errors that say that the server stops.
  void end_answers();
  /// From another thread: some answer has not left yet.
  bool is_answering();
  /// Closes all connections and ends the thread.
  void stop();

  /// In the loop.
  void add(Connection* connection) { connections_.insert(connection); }
  void remove(Connection* connection) { connections_.erase(connection); }

  /// In the loop: `connection` waits for a request, until end_idle() with what this returns.
  uint64_t begin_idle(Connection* connection);
  void end_idle(uint64_t ticket);
  /// In the loop: makes room for another. False if none is idle.
  bool close_longest_idle();
  /// From any thread.
  int64_t num_idle() const { return num_idle_; }

  boost::asio::io_context context{1};

 private:
  void sweep();
  void close_all();

  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer sweeper_;
  std::chrono::nanoseconds sweep_every_{};
  std::unordered_set<Connection*> connections_;
  std::map<uint64_t, Connection*> idle_;  // The longest idle first.
  uint64_t next_ticket_ = 1;
  std::atomic<int64_t> num_idle_{0};
  std::thread thread_;
};

}  // namespace tokamak::server
