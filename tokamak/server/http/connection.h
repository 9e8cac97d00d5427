// SPDX-License-Identifier: Apache-2.0
// One client: reads requests one after the other, lets each be answered, and watches for the
// client's going away in the meantime.
//
//   kIdle -> kHead -> kBody -> kAnswer -> kIdle      each arrow may lead to kLinger or kClosed
//
// kLinger: the last answer was sent and the client is told so; what it still sends is thrown away,
// since closing with unread bytes would take the answer from it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tokamak/server/http/event_loop.h"
#include "tokamak/server/http/request_parser.h"
#include "tokamak/server/http/transport.h"
#include "tokamak/server/router.h"

namespace tokamak::server {

/// What all connections share.
struct ConnectionContext {
  Service& service;
  /// Calls the route's handler, here or on another thread.
  std::function<void(const Route&, std::shared_ptr<Exchange>)> dispatch;
  std::atomic<int64_t> num_connections{0};
  std::atomic<int64_t> num_answering{0};  ///< Requests that were taken and are not answered.
};

/// Lives in one loop; only the exchange's methods may be called from elsewhere.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ConnectionContext& context,
             std::shared_ptr<EventLoop> loop,
             std::unique_ptr<Transport> transport);
  ~Connection();

  void start();
  void close();
  void check_deadline(std::chrono::steady_clock::time_point now);

 private:
  friend class ConnectionExchange;
  enum class Phase { kHandshake, kIdle, kHead, kBody, kAnswer, kLinger, kClosed };

  void enter(Phase phase, double timeout_seconds);
  void read();
  void take_bytes(size_t size);
  void end_of_input();
  void advance();
  bool admit_head();
  void begin_answer();
  void refuse(HttpResponse response);

  void send_head(const HttpResponse& response, std::optional<size_t> length);
  void respond(HttpResponse response);
  void write_chunk(std::string_view bytes);
  void end_stream();
  void flush();
  void all_written();
  void answered();
  void linger();

  ConnectionContext& context_;
  const std::shared_ptr<EventLoop> loop_;
  const std::unique_ptr<Transport> transport_;
  Phase phase_ = Phase::kHandshake;
  std::chrono::steady_clock::time_point deadline_;

  std::string chunk_;   // What the read under way fills.
  std::string buffer_;  // Read and not yet parsed.
  bool reading_ = false, input_ended_ = false;
  std::optional<RequestParser> parser_;

  Match match_;
  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<Job> job_;
  bool keep_alive_ = true, head_only_ = false, chunked_ = true;
  bool complete_ = false;  // All of the answer is in the outbox or beyond.
  int status_ = 0;
  std::chrono::steady_clock::time_point began_;

  std::string outbox_;   // To be written next.
  std::string sending_;  // Being written, from sent_ on.
  size_t sent_ = 0;
  bool writing_ = false;
};

}  // namespace tokamak::server
