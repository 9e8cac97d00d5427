// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/connection.h"

#include <boost/asio/post.hpp>

#include "tokamak/server/http/response_head.h"

namespace tokamak::server {
namespace {

using boost::system::error_code;
using std::chrono::steady_clock;

constexpr size_t kReadBytes = 4096;        // Of an idle connection; there may be thousands.
constexpr size_t kBodyReadBytes = 65'536;  // While a body comes.
constexpr size_t kMaxEarlyBytes = 65'536;  // Of later requests that come before the answer.
constexpr double kLingerSeconds = 2;

}  // namespace

/// The handlers' side of a connection. Its calls are dropped once the connection has moved on.
class ConnectionExchange : public Exchange {
 public:
  ConnectionExchange(HttpRequest request, const std::shared_ptr<Connection>& connection)
      : Exchange(std::move(request)), connection_(connection), loop_(connection->loop_) {}

  void respond(HttpResponse response) override {
    in_loop([response = std::move(response)](Connection& connection) mutable {
      connection.respond(std::move(response));
    });
  }
  void run(std::shared_ptr<Job> job) override {
    in_loop([job = std::move(job)](Connection& connection) {
      if (connection.input_ended_) return connection.close();  // The client has gone.
      connection.job_ = job;
      job->start();
    });
  }
  void post(std::function<void()> task) override {
    boost::asio::post(loop_->context, std::move(task));
  }

  void begin_stream(HttpResponse head) override {
    if (Connection* connection = current()) connection->send_head(head, std::nullopt);
  }
  void write(std::string_view bytes) override {
    if (Connection* connection = current()) connection->write_chunk(bytes);
  }
  void end_stream() override {
    if (Connection* connection = current()) connection->end_stream();
  }
  void abort() override {
    in_loop([](Connection& connection) { connection.close(); });
  }

 private:
  /// Null if this exchange is over. The connection holds itself while it writes.
  Connection* current() const {
    auto connection = connection_.lock();
    return connection && connection->exchange_.get() == this ? connection.get() : nullptr;
  }
  template <typename Call>
  void in_loop(Call call) {
    boost::asio::post(loop_->context,
                      [weak = connection_, self = this, call = std::move(call)]() mutable {
                        auto connection = weak.lock();
                        if (connection && connection->exchange_.get() == self) call(*connection);
                      });
  }

  const std::weak_ptr<Connection> connection_;
  const std::shared_ptr<EventLoop> loop_;
};

Connection::Connection(ConnectionContext& context,
                       std::shared_ptr<EventLoop> loop,
                       std::unique_ptr<Transport> transport)
    : context_(context), loop_(std::move(loop)), transport_(std::move(transport)) {
  loop_->add(this);
  ++context_.num_connections;
  context_.service.metrics.connected();
}

Connection::~Connection() {
  loop_->remove(this);
  if (exchange_) --context_.num_answering;
  --context_.num_connections;
  context_.service.metrics.disconnected();
}

void Connection::start() {
  enter(Phase::kHandshake, context_.service.options.header_timeout_seconds);
  transport_->handshake([self = shared_from_this()](const error_code& error) {
    if (error) return self->close();
    self->enter(Phase::kIdle, self->context_.service.options.idle_timeout_seconds);
    self->read();
  });
}

void Connection::enter(Phase phase, double timeout_seconds) {
  phase_ = phase;
  deadline_ = steady_clock::now() + std::chrono::duration_cast<steady_clock::duration>(
                                        std::chrono::duration<double>(timeout_seconds));
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  job_.reset();
  if (exchange_) --context_.num_answering;
  exchange_.reset();
  transport_->close();
}

void Connection::check_deadline(steady_clock::time_point now) {
  // An answer takes as long as the model takes; only writing it has a limit.
  const bool timed = phase_ != Phase::kAnswer || writing_;
  if (!timed || now < deadline_) return;
  if (phase_ == Phase::kHead || phase_ == Phase::kBody) {
    return refuse(error_response(Wire::kOpenAi,
                                 {408,
                                  "the request took too long to come",
                                  "invalid_request_error",
                                  {},
                                  "request_timeout",
                                  {}}));
  }
  close();
}

// ---- Reading.

void Connection::read() {
  const bool full = phase_ == Phase::kAnswer && buffer_.size() >= kMaxEarlyBytes;
  if (reading_ || input_ended_ || full || phase_ == Phase::kClosed) return;
  reading_ = true;
  chunk_.resize(phase_ == Phase::kBody ? kBodyReadBytes : kReadBytes);
  transport_->read_some(chunk_.data(),
                        chunk_.size(),
                        [self = shared_from_this()](const error_code& error, size_t size) {
                          self->reading_ = false;
                          if (self->phase_ == Phase::kClosed) return;
                          if (error) return self->end_of_input();
                          self->take_bytes(size);
                        });
}

void Connection::take_bytes(size_t size) {
  if (phase_ == Phase::kLinger) return read();
  buffer_.append(chunk_, 0, size);
  if (phase_ != Phase::kBody) chunk_.shrink_to_fit();
  if (phase_ == Phase::kAnswer) return read();
  advance();
}

void Connection::end_of_input() {
  input_ended_ = true;
  // An answer that is being written, or that needs no model, still leaves; a generation ends.
  if (phase_ == Phase::kAnswer && !job_) return;
  close();
}

void Connection::advance() {
  const ServerOptions& options = context_.service.options;
  while (phase_ == Phase::kIdle || phase_ == Phase::kHead || phase_ == Phase::kBody) {
    if (buffer_.empty() && phase_ != Phase::kBody) return read();
    if (phase_ == Phase::kIdle) {
      enter(Phase::kHead, options.header_timeout_seconds);
      began_ = steady_clock::now();
      parser_.emplace(options.max_header_bytes, options.max_body_bytes);
    }
    std::string_view rest = buffer_;
    const auto progress = parser_->feed(rest);
    buffer_.erase(0, buffer_.size() - rest.size());
    switch (progress) {
      case RequestParser::Progress::kMore:
        return read();
      case RequestParser::Progress::kHead:
        if (!admit_head()) return;
        break;
      case RequestParser::Progress::kRequest:
        return begin_answer();
      case RequestParser::Progress::kRefused:
        return refuse(error_response(Wire::kOpenAi, parser_->fault()));
    }
  }
}

bool Connection::admit_head() {
  RequestHead& head = parser_->head();
  head_only_ = head.request.method == "HEAD";
  chunked_ = head.chunks_allowed;
  auto admitted = admit(context_.service, head.request, head.content_length);
  if (auto* refusal = std::get_if<HttpResponse>(&admitted)) {
    match_ = {};
    refuse(std::move(*refusal));
    return false;
  }
  match_ = std::get<Match>(std::move(admitted));
  keep_alive_ = head.keep_alive;
  if (head.expects_continue && buffer_.empty()) {
    outbox_ += "HTTP/1.1 100 Continue\r\n\r\n";
    flush();
  }
  enter(Phase::kBody, context_.service.options.body_timeout_seconds);
  return true;
}

void Connection::begin_answer() {
  HttpRequest request = std::move(parser_->head().request);
  request.body = parser_->body();
  request.model = std::move(match_.model);
  request.key = match_.key;
  parser_.reset();
  phase_ = Phase::kAnswer;
  complete_ = false;
  exchange_ = std::make_shared<ConnectionExchange>(std::move(request), shared_from_this());
  ++context_.num_answering;
  read();  // Also tells when the client goes away.
  context_.dispatch(*match_.route, exchange_);
}

/// Answers without a handler, and ends the connection: what else was sent is not understood.
void Connection::refuse(HttpResponse response) {
  parser_.reset();
  keep_alive_ = false;
  phase_ = Phase::kAnswer;
  complete_ = false;
  buffer_.clear();
  respond(std::move(response));
  read();
}

// ---- Writing.

void Connection::send_head(const HttpResponse& response, std::optional<size_t> length) {
  if (context_.service.draining() || input_ended_) keep_alive_ = false;
  if (!length && !chunked_) keep_alive_ = false;
  status_ = response.status;
  append_response_head(
      outbox_, response, {.length = length, .chunked = !length && chunked_, .close = !keep_alive_});
}

void Connection::respond(HttpResponse response) {
  send_head(response, response.body.size());
  if (!head_only_) outbox_ += response.body;
  complete_ = true;
  flush();
}

void Connection::write_chunk(std::string_view bytes) {
  if (chunked_) {
    outbox_ += fmt::format("{:x}\r\n", bytes.size());
    outbox_ += bytes;
    outbox_ += "\r\n";
  } else {
    outbox_ += bytes;
  }
  flush();
}

void Connection::end_stream() {
  if (chunked_) outbox_ += "0\r\n\r\n";
  complete_ = true;
  flush();
}

void Connection::flush() {
  if (writing_ || phase_ == Phase::kClosed) return;
  if (sent_ == sending_.size()) {
    sending_.clear();
    sent_ = 0;
    std::swap(sending_, outbox_);
  }
  if (sending_.empty()) return;
  writing_ = true;
  enter(phase_, context_.service.options.write_timeout_seconds);
  transport_->write_some(std::string_view(sending_).substr(sent_),
                         [self = shared_from_this()](const error_code& error, size_t size) {
                           self->writing_ = false;
                           if (self->phase_ == Phase::kClosed) return;
                           if (error) return self->close();
                           self->sent_ += size;
                           if (self->sent_ == self->sending_.size() && self->outbox_.empty()) {
                             return self->all_written();
                           }
                           self->flush();
                         });
}

void Connection::all_written() {
  if (sending_.capacity() > kBodyReadBytes) {
    sending_ = {};
    sent_ = 0;
  }
  if (phase_ != Phase::kAnswer) return;  // 100 Continue.
  if (complete_) return answered();
  if (auto job = job_) job->written();
}

void Connection::answered() {
  context_.service.metrics.answered(
      match_.route ? match_.route->path : "", status_, steady_clock::now() - began_);
  job_.reset();
  if (exchange_) --context_.num_answering;
  exchange_.reset();
  match_ = {};
  head_only_ = false;
  if (!keep_alive_ || input_ended_) return linger();
  enter(Phase::kIdle, context_.service.options.idle_timeout_seconds);
  if (buffer_.capacity() > kMaxEarlyBytes) buffer_.shrink_to_fit();
  advance();
}

void Connection::linger() {
  if (input_ended_) return close();
  enter(Phase::kLinger, kLingerSeconds);
  transport_->end_writing([self = shared_from_this()] {});
  read();
}

}  // namespace tokamak::server
