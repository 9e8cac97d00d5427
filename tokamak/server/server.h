// SPDX-License-Identifier: Apache-2.0
// The HTTP server: listens, loads nothing and knows no protocol itself; routes/ answers.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "tokamak/server/model.h"
#include "tokamak/server/options.h"

namespace tokamak::server {

/// Methods may be called from any thread.
class Server {
 public:
  /// Listens from now on; /health says 503 until serve(). Errors: invalid (an option), io (the
  /// port is taken).
  static Result<std::unique_ptr<Server>> start(ServerOptions options);
  /// Stops.
  ~Server();

  void serve(Model model);
  /// Other API keys, and the TLS files read anew, for requests and connections that come from now
  /// on. Errors: invalid; nothing changes then.
  Result<void> reload(const std::vector<std::string>& api_keys);
  /// Refuses new generations with 503. Returns true as soon as every request that was taken is
  /// answered, false after `timeout` or when `give_up` returns true, which is asked all the time.
  bool drain(std::chrono::nanoseconds timeout, const std::function<bool()>& give_up = {});
  /// Cancels generations under way: answers that have not begun become 503, streams end with an
  /// event that says so. Then closes every socket.
  void stop();

  int port() const;
  std::string url() const;  ///< "http://127.0.0.1:8000"

  /// Serves a connected stream socket as if it had been accepted; takes ownership.
  void adopt(int descriptor);

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace tokamak::server
