// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/connection.h"

#include "tokamak/base/log.h"
#include "tokamak/server/http/connection_exchange.h"
#include "tokamak/server/http/response_head.h"
#include "tokamak/server/request_id.h"

namespace tokamak::server {
namespace {

using boost::system::error_code;
using std::chrono::steady_clock;

constexpr size_t kReadBytes = 4096;        // Of an idle connection; there may be thousands.
constexpr size_t kBodyReadBytes = 65'536;  // While a body comes.
constexpr size_t kMaxEarlyBytes = 65'536;  // Of later requests that come before the answer.
constexpr double kLingerSeconds = 2;
constexpr int kClientHasGone = 499;  // In the access log only.

steady_clock::time_point after(double seconds) {
  return steady_clock::now() +
         std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(seconds));
}

Fault no_room(const BodyBudget& bodies) {
  return unavailable(fmt::format(
      "bodies of requests take {} bytes in all, the limit is {}: there is no room for this one",
      bodies.used_bytes(),
      bodies.limit_bytes));
}

}  // namespace

Connection::Connection(ConnectionContext& context,
                       std::shared_ptr<EventLoop> loop,
                       std::unique_ptr<Transport> transport)
    : context_(context), loop_(std::move(loop)), transport_(std::move(transport)) {
  loop_->add(this);
  ++context_.num_connections;
  context_.service.metrics.connected();
}

Connection::~Connection() {
  close();
  loop_->remove(this);
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
  deadline_ = after(timeout_seconds);
  set_idle(phase == Phase::kIdle);
}

void Connection::set_idle(bool idle) {
  if (idle == (idle_ticket_ != 0)) return;
  if (idle) {
    idle_ticket_ = loop_->begin_idle(this);
  } else {
    loop_->end_idle(std::exchange(idle_ticket_, 0));
  }
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kAnswer) {
    record_.complete = false;
    log_request();
  }
  phase_ = Phase::kClosed;
  set_idle(false);
  --context_.num_connections;
  end_exchange();
  share_ = {};
  transport_->close();
}

void Connection::end_exchange() {
  job_.reset();
  if (!exchange_) return;
  exchange_->end();
  exchange_.reset();
  --context_.num_answering;
}

void Connection::check_deadline(steady_clock::time_point now) {
  const bool handling = exchange_ && !job_ && status_ == 0;
  if (handling && now >= handler_deadline_) return handler_is_late();
  // Else an answer takes as long as the model takes; only writing it has a limit.
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

/// A fault of ours: the handler is stuck or has forgotten its exchange. Nobody waits for it.
void Connection::handler_is_late() {
  const HttpRequest& request = exchange_->request();
  base::log(base::LogLevel::kError,
            "{} {}: no answer from its handler within {} s",
            request.method,
            request.path,
            context_.service.options.handler_timeout_seconds);
  Fault fault;
  fault.message = "the server did not get to answer this request; its log says more";
  fault.code = "internal_error";
  HttpResponse response = error_response(wire_of(request.path), fault);
  end_exchange();
  refuse(std::move(response));
}

void Connection::end_answer() {
  if (!exchange_ || complete_) return;
  keep_alive_ = false;
  if (status_ != 0) {
    if (auto job = job_) job->stop();
    return;
  }
  HttpResponse response = error_response(wire_of(exchange_->request().path), shutting_down());
  end_exchange();
  refuse(std::move(response));
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
                          if (error) return self->end_of_input(error);
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

void Connection::end_of_input(const error_code& error) {
  input_ended_ = true;
  // Nobody sends half a request and waits for an answer.
  if (phase_ != Phase::kAnswer || !is_end_of_input(error)) return close();
  watch_for_reset();
  if (!exchange_ || status_ != 0 || begun_) return;
  begun_ = true;
  outbox_.text() += kAnswerBegins;
  flush();
}

void Connection::watch_for_reset() {
  transport_->wait_for_reset([self = shared_from_this()] { self->close(); });
}

/// What has come is used up.
void Connection::more() {
  if (input_ended_) return close();
  read();
}

/// Some clients end a body with an empty line too many (RFC 9112, 2.2). True if no request has
/// begun behind it.
bool Connection::drop_empty_lines() {
  size_t size = 0;
  while (buffer_.compare(size, 2, "\r\n") == 0) size += 2;
  buffer_.erase(0, size);
  return buffer_.empty() || buffer_ == "\r";
}

void Connection::advance() {
  const ServerOptions& options = context_.service.options;
  while (phase_ == Phase::kIdle || phase_ == Phase::kHead || phase_ == Phase::kBody) {
    if (phase_ == Phase::kIdle && drop_empty_lines()) return more();
    if (buffer_.empty() && phase_ != Phase::kBody) return more();
    if (phase_ == Phase::kIdle) {
      enter(Phase::kHead, options.header_timeout_seconds);
      began_ = steady_clock::now();
      record_ = {};
      headers_.clear();
      parser_.emplace(options.max_header_bytes, options.max_body_bytes);
      share_ = BodyShare(context_.bodies);
    }
    std::string_view rest = buffer_;
    const auto progress = parser_->feed(rest);
    buffer_.erase(0, buffer_.size() - rest.size());
    if (!share_.resize(parser_->body_bytes())) {
      return refuse(
          error_response(wire_of(parser_->head().request.path), no_room(context_.bodies)));
    }
    switch (progress) {
      case RequestParser::Progress::kMore:
        return more();
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

/// What its answers have in common, and what the access log says of it.
void Connection::name_request(HttpRequest& request) {
  const auto given = request.header("x-request-id");
  request.id = given && is_request_id(*given) ? std::string(*given) : random_request_id();
  headers_ = context_.service.origins.headers_for(request);
  headers_.push_back({"X-Request-Id", request.id});
  record_.method = request.method;
  record_.path = request.path;
}

bool Connection::admit_head() {
  RequestHead& head = parser_->head();
  head_only_ = head.request.method == "HEAD";
  chunked_ = head.chunks_allowed;
  name_request(head.request);
  auto admitted = admit(context_.service, head.request, head.content_length);
  if (auto* refusal = std::get_if<HttpResponse>(&admitted)) {
    match_ = {};
    refuse(std::move(*refusal));
    return false;
  }
  if (!context_.bodies.has_room(static_cast<int64_t>(head.content_length.value_or(0)))) {
    refuse(error_response(wire_of(head.request.path), no_room(context_.bodies)));
    return false;
  }
  match_ = std::get<Match>(std::move(admitted));
  record_.key = match_.key;
  keep_alive_ = head.keep_alive;
  if (head.expects_continue && buffer_.empty()) {
    outbox_.text() += "HTTP/1.1 100 Continue\r\n\r\n";
    flush();
  }
  enter(Phase::kBody, context_.service.options.body_timeout_seconds);
  return true;
}

void Connection::begin_answer() {
  HttpRequest request = std::move(parser_->head().request);
  request.path = std::move(match_.path);
  request.body = parser_->body();
  request.model = std::move(match_.model);
  request.key = match_.key;
  parser_.reset();
  expect_answer();
  exchange_ = std::make_shared<ConnectionExchange>(
      std::move(request), std::move(share_), shared_from_this());
  handler_deadline_ = after(context_.service.options.handler_timeout_seconds);
  ++context_.num_answering;
  read();  // Also tells when the client goes away.
  context_.dispatch(*match_.route, exchange_);
}

void Connection::expect_answer() {
  phase_ = Phase::kAnswer;
  complete_ = false;
  status_ = 0;
}

/// Answers without a handler, and ends the connection: what else was sent is not understood.
void Connection::refuse(HttpResponse response) {
  parser_.reset();
  share_ = {};
  keep_alive_ = false;
  expect_answer();
  buffer_.clear();
  respond(std::move(response));
  read();
}

// ---- Writing.

void Connection::send_head(const HttpResponse& response, std::optional<size_t> length) {
  const bool last = input_ended_ && buffer_.empty();
  if (context_.service.draining() || last) keep_alive_ = false;
  if (!length && !chunked_) keep_alive_ = false;
  status_ = response.status;
  if (headers_.empty()) headers_ = {{"X-Request-Id", random_request_id()}};  // It is no request.
  record_.request_id =
      find_header(response.headers, "X-Request-Id").value_or(headers_.back().value);
  std::string& out = outbox_.text();
  const size_t begin = out.size();
  append_response_head(out,
                       response,
                       headers_,
                       {.length = length, .chunked = !length && chunked_, .close = !keep_alive_});
  if (begun_) out.erase(begin, kAnswerBegins.size());
  begun_ = false;
}

void Connection::respond(HttpResponse response) {
  send_head(response, response.body.size());
  if (!head_only_) {
    record_.bytes += std::ssize(response.body);
    outbox_.add_body(std::move(response.body));
  }
  complete_ = true;
  flush();
}

void Connection::run(const std::shared_ptr<Job>& job) {
  job_ = job;
  job->start();
}

void Connection::write_chunk(std::string_view bytes) {
  record_.bytes += std::ssize(bytes);
  std::string& out = outbox_.text();
  if (chunked_) {
    fmt::format_to(std::back_inserter(out), "{:x}\r\n", bytes.size());
    out += bytes;
    out += "\r\n";
  } else {
    out += bytes;
  }
  flush();
}

void Connection::end_stream() {
  if (chunked_) outbox_.text() += "0\r\n\r\n";
  complete_ = true;
  flush();
}

void Connection::flush() {
  if (writing_ || phase_ == Phase::kClosed) return;
  const std::string_view bytes = outbox_.next();
  if (bytes.empty()) return;
  writing_ = true;
  enter(phase_, context_.service.options.write_timeout_seconds);
  transport_->write_some(bytes, [self = shared_from_this()](const error_code& error, size_t size) {
    self->writing_ = false;
    if (self->phase_ == Phase::kClosed) return;
    if (error) return self->close();
    self->outbox_.sent(size);
    if (self->outbox_.empty()) return self->all_written();
    self->flush();
  });
}

void Connection::all_written() {
  if (phase_ != Phase::kAnswer) return;  // 100 Continue.
  if (complete_) return answered();
  if (status_ == 0) return;  // kAnswerBegins.
  if (auto job = job_) job->written();
}

void Connection::log_request() {
  if (!context_.service.options.log_requests) return;
  record_.status = status_ != 0 ? status_ : kClientHasGone;
  record_.took = steady_clock::now() - began_;
  if (record_.request_id.empty()) record_.request_id = exchange_->request().id;
  write_access_line(record_);
}

void Connection::answered() {
  log_request();
  context_.service.metrics.answered(
      match_.route ? match_.route->path : "", status_, steady_clock::now() - began_);
  end_exchange();
  match_ = {};
  head_only_ = false;
  if (!keep_alive_) return linger();
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
