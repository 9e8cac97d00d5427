// SPDX-License-Identifier: Apache-2.0
// The one socket that listens.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "tokamak/server/http/event_loop.h"
#include "tokamak/server/http/transport.h"

namespace tokamak::server {

class Listener {
 public:
  /// Called in the loop that a new client's socket belongs to.
  using Accepted = std::function<void(Socket socket, std::shared_ptr<EventLoop> loop)>;
  /// Called in the first loop when no client can be accepted, as there are no descriptors left.
  using Starved = std::function<void()>;

  /// Binds and listens. `host` is an address or a name. Clients go to `loops` in turn. Errors:
  /// invalid (no such address), io (the port is taken, …).
  static Result<std::unique_ptr<Listener>> open(const std::string& host,
                                                int port,
                                                std::vector<std::shared_ptr<EventLoop>> loops,
                                                Accepted accepted,
                                                Starved starved);

  void start();
  /// In the first loop's thread, or before start().
  void close();
  int port() const { return port_; }
  bool on_loopback() const;     ///< Only this machine can reach it.
  std::string address() const;  ///< "127.0.0.1:8000", "[::1]:8000".

 private:
  Listener(std::vector<std::shared_ptr<EventLoop>> loops, Accepted accepted, Starved starved);
  Result<void> bind(const boost::asio::ip::tcp::endpoint& endpoint);
  void accept();
  void accept_failed(const boost::system::error_code& error);

  const std::vector<std::shared_ptr<EventLoop>> loops_;
  const Accepted accepted_;
  const Starved starved_;
  std::chrono::steady_clock::time_point last_warning_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  size_t next_ = 0;
  int port_ = 0;
};

}  // namespace tokamak::server
