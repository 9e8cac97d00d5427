// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/event_loop.h"

#include <algorithm>
#include <future>
#include <vector>

#include <boost/asio/post.hpp>

#include "tokamak/base/log.h"
#include "tokamak/server/http/connection.h"

namespace tokamak::server {

EventLoop::~EventLoop() {
  stop();
}

void EventLoop::start(std::chrono::nanoseconds sweep_every) {
  sweep_every_ = sweep_every;
  sweep();
  thread_ = std::thread([this] {
    for (;;) {
      try {
        context.run();
        return;
      } catch (const std::exception& e) {
        base::log(base::LogLevel::kError, "a connection failed: {}", e.what());
      }
    }
  });
}

void EventLoop::end_answers() {
  boost::asio::post(context, [this] {
    std::vector<std::shared_ptr<Connection>> open;
    for (Connection* connection : connections_) open.push_back(connection->shared_from_this());
    for (const auto& connection : open) connection->end_answer();
  });
}

bool EventLoop::is_answering() {
  std::promise<bool> answering;
  boost::asio::post(context, [&] {
    answering.set_value(std::any_of(connections_.begin(),
                                    connections_.end(),
                                    [](const Connection* one) { return one->answering(); }));
  });
  return answering.get_future().get();
}

void EventLoop::stop() {
  if (!thread_.joinable()) return;
  boost::asio::post(context, [this] {
    close_all();
    sweeper_.cancel();
    sweep_every_ = {};
    work_.reset();
  });
  thread_.join();
}

uint64_t EventLoop::begin_idle(Connection* connection) {
  idle_.emplace(next_ticket_, connection);
  ++num_idle_;
  return next_ticket_++;
}

void EventLoop::end_idle(uint64_t ticket) {
  num_idle_ -= static_cast<int64_t>(idle_.erase(ticket));
}

bool EventLoop::close_longest_idle() {
  if (idle_.empty()) return false;
  idle_.begin()->second->close();
  return true;
}

void EventLoop::close_all() {
  const std::vector<Connection*> open(connections_.begin(), connections_.end());
  for (Connection* connection : open) connection->close();
}

void EventLoop::sweep() {
  if (sweep_every_.count() == 0) return;
  sweeper_.expires_after(sweep_every_);
  sweeper_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto now = std::chrono::steady_clock::now();
    const std::vector<Connection*> open(connections_.begin(), connections_.end());
    for (Connection* connection : open) connection->check_deadline(now);
    sweep();
  });
}

}  // namespace tokamak::server
