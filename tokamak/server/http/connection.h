// SPDX-License-Identifier: Apache-2.0
// One client: reads requests one after the other, lets each be answered, and watches for the
// client's going away in the meantime.
//
//   kIdle -> kHead -> kBody -> kAnswer -> kIdle      each arrow may lead to kLinger or kClosed
//
// The end of input in kAnswer may mean that the client has gone, or that it has only ended its own
// side and waits for the answer: TCP says the same of both. They differ once something is sent: who
// has gone resets the connection. So the first bytes of the answer leave at once, which are the
// same for every answer, and a reset from then on ends the work for it.
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

#include "tokamak/server/access_log.h"
#include "tokamak/server/http/event_loop.h"
#include "tokamak/server/http/outbox.h"
#include "tokamak/server/http/request_parser.h"
#include "tokamak/server/http/transport.h"
#include "tokamak/server/router.h"

namespace tokamak::server {

/// What all connections share.
struct ConnectionContext {
  Service& service;
  /// Calls the route's handler, here or on another thread.
  std::function<void(const Route&, const std::shared_ptr<Exchange>&)> dispatch;
  /// Runs a task for the holder of an API key (-1: of none) on another thread.
  std::function<void(int key, int64_t bytes, std::function<void()> task)> work;
  BodyBudget bodies{service.options.body_budget_bytes()};
  std::atomic<int64_t> num_connections{0};
  std::atomic<int64_t> num_answering{0};  ///< Requests that were taken and are not answered.
};

class ConnectionExchange;

/// Lives in one loop; only the exchange's methods may be called from elsewhere.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ConnectionContext& context,
             std::shared_ptr<EventLoop> loop,
             std::unique_ptr<Transport> transport);
  ~Connection();

  void start();
  void close();
  /// The server stops: the answer under way ends with an error that says so.
  void end_answer();
  bool answering() const { return phase_ == Phase::kAnswer; }
  void check_deadline(std::chrono::steady_clock::time_point now);

 private:
  friend class ConnectionExchange;
  enum class Phase { kHandshake, kIdle, kHead, kBody, kAnswer, kLinger, kClosed };

  void enter(Phase phase, double timeout_seconds);
  void set_idle(bool idle);
  void read();
  void take_bytes(size_t size);
  void end_of_input(const boost::system::error_code& error);
  void watch_for_reset();
  void more();
  void advance();
  bool drop_empty_lines();
  void name_request(HttpRequest& request);
  bool admit_head();
  void begin_answer();
  void expect_answer();
  void refuse(HttpResponse response);
  void end_exchange();
  void handler_is_late();

  void send_head(const HttpResponse& response, std::optional<size_t> length);
  void respond(HttpResponse response);
  void run(const std::shared_ptr<Job>& job);
  void write_chunk(std::string_view bytes);
  void end_stream();
  void flush();
  void all_written();
  void answered();
  void log_request();
  void linger();

  ConnectionContext& context_;
  const std::shared_ptr<EventLoop> loop_;
  const std::unique_ptr<Transport> transport_;
  Phase phase_ = Phase::kHandshake;
  std::chrono::steady_clock::time_point deadline_;
  uint64_t idle_ticket_ = 0;  // Of the loop, while idle.

  std::string chunk_;   // What the read under way fills.
  std::string buffer_;  // Read and not yet parsed.
  bool reading_ = false, input_ended_ = false;
  std::optional<RequestParser> parser_;
  BodyShare share_;  // Of the body that comes.

  Match match_;
  std::shared_ptr<ConnectionExchange> exchange_;
  std::shared_ptr<Job> job_;
  std::chrono::steady_clock::time_point handler_deadline_;
  bool keep_alive_ = true, head_only_ = false, chunked_ = true;
  bool begun_ = false;           // kAnswerBegins has been sent, the rest of the head has not.
  bool complete_ = false;        // All of the answer is in the outbox or beyond.
  int status_ = 0;               // Of the answer, once its head is in the outbox.
  std::vector<Header> headers_;  // That every answer to this request has.
  AccessRecord record_;
  std::chrono::steady_clock::time_point began_;

  Outbox outbox_;
  bool writing_ = false;
};

}  // namespace tokamak::server
