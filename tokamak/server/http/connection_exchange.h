// SPDX-License-Identifier: Apache-2.0
// The handlers' side of a connection. Its calls are dropped once the connection has moved on.
#pragma once

#include <atomic>

#include "tokamak/server/http/connection.h"

namespace tokamak::server {

class ConnectionExchange : public Exchange,
                           public std::enable_shared_from_this<ConnectionExchange> {
 public:
  ConnectionExchange(HttpRequest request,
                     BodyShare share,
                     const std::shared_ptr<Connection>& connection);

  bool gone() const override { return over_; }
  /// In the loop: the connection answers it no more.
  void end() { over_ = true; }

  void respond(HttpResponse response) override;
  void run(std::shared_ptr<Job> job) override;
  void post(std::function<void()> task) override;
  void work(int64_t bytes, std::function<void()> task) override;
  void begin_stream(HttpResponse head) override;
  void write(std::string_view bytes) override;
  void end_stream() override;
  void abort() override;

 private:
  /// Null if this exchange is over. The connection holds itself while it writes.
  std::shared_ptr<Connection> current() const { return over_ ? nullptr : connection_.lock(); }
  template <typename Call>
  void in_loop(Call call);

  const std::weak_ptr<Connection> connection_;
  const std::shared_ptr<EventLoop> loop_;
  std::atomic<bool> over_{false};
};

}  // namespace tokamak::server
