// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/load/client.h"

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "tokamak/base/json.h"
#include "tokamak/cli/load/event_reader.h"

namespace tokamak::cli {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

/// Whether a socket's error means that the server had closed a connection that we kept.
bool was_closed(const beast::error_code& error) {
  return error == http::error::end_of_stream || error == asio::error::connection_reset ||
         error == asio::error::broken_pipe || error == asio::error::eof;
}

std::string reason(const beast::error_code& error) {
  if (error == beast::error::timeout) return "timeout";
  if (was_closed(error) || error == http::error::partial_message) return "closed early";
  return error.message();
}

int64_t count(const Json& usage, std::string_view key) {
  auto value = base::get_int(usage, key, 0);
  return value.ok() ? *value : 0;
}

std::string message_of(const Json& error) {
  auto message = base::get_string(error, "message", "");
  return message.ok() && !message->empty() ? *message : error.dump();
}

}  // namespace

struct LoadClient::Connection {
  explicit Connection(asio::io_context& context) : stream(context) {}
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
};

struct LoadClient::Exchange {
  ClientRequest request;
  std::function<void(ClientResult)> done;
  ClientResult result;
  http::request<http::string_body> message;
  std::optional<http::response_parser<http::buffer_body>> parser;
  std::array<char, 16384> piece;
  EventReader events;
  bool is_stream = false;
  LoadClock::time_point last;
};

LoadClient::LoadClient(asio::io_context& context,
                       asio::ip::tcp::resolver::results_type server,
                       std::string host)
    : context_(context), server_(std::move(server)), host_(std::move(host)) {}
LoadClient::~LoadClient() = default;

void LoadClient::send(const ClientRequest& request, std::function<void(ClientResult)> done) {
  exchange_ = std::make_unique<Exchange>();
  exchange_->request = request;
  exchange_->done = std::move(done);
  exchange_->result.begin = LoadClock::now();
  auto& message = exchange_->message;
  message.method_string(request.method);
  message.target(request.target);
  message.version(11);
  message.set(http::field::host, host_);
  message.set(http::field::content_type, "application/json");
  if (!request.api_key.empty())
    message.set(http::field::authorization, "Bearer " + request.api_key);
  message.body() = request.body;
  message.prepare_payload();
  if (connection_) return write(false);
  connection_ = std::make_unique<Connection>(context_);
  connection_->stream.expires_after(std::chrono::seconds(10));
  connection_->stream.async_connect(
      server_, [self = shared_from_this()](const beast::error_code& error, const auto&) {
        if (error) return self->finish("connect: " + reason(error));
        self->write(true);
      });
}

void LoadClient::write(bool fresh) {
  exchange_->result.connected = true;
  connection_->stream.expires_after(
      std::chrono::milliseconds(static_cast<int64_t>(exchange_->request.timeout * 1000)));
  http::async_write(connection_->stream,
                    exchange_->message,
                    [self = shared_from_this(), fresh](const beast::error_code& error, size_t) {
                      // A server that refuses a request may close before it has read all of it.
                      if (error && !was_closed(error)) return self->finish(reason(error));
                      self->read_head(fresh);
                    });
}

void LoadClient::read_head(bool fresh) {
  exchange_->parser.emplace();
  exchange_->parser->body_limit(std::numeric_limits<uint64_t>::max());
  http::async_read_header(
      connection_->stream,
      connection_->buffer,
      *exchange_->parser,
      [self = shared_from_this(), fresh](const beast::error_code& error, size_t bytes) {
        if (error && !fresh && bytes == 0 && was_closed(error)) {
          // It was closed between two requests: once more on a connection of its own.
          ClientRequest request = std::move(self->exchange_->request);
          auto done = std::move(self->exchange_->done);
          self->connection_.reset();
          return self->send(request, std::move(done));
        }
        if (error) return self->finish(reason(error));
        const auto& head = self->exchange_->parser->get();
        self->exchange_->result.status = static_cast<int>(head.result_int());
        self->exchange_->is_stream =
            head[http::field::content_type].starts_with("text/event-stream");
        self->read_body();
      });
}

void LoadClient::read_body() {
  Exchange& exchange = *exchange_;
  if (exchange.parser->is_done()) return finish("");
  exchange.parser->get().body().data = exchange.piece.data();
  exchange.parser->get().body().size = exchange.piece.size();
  exchange.parser->get().body().more = true;
  http::async_read_some(
      connection_->stream,
      connection_->buffer,
      *exchange.parser,
      [self = shared_from_this()](beast::error_code error, size_t) {
        Exchange& exchange = *self->exchange_;
        if (error == http::error::need_buffer) error = {};
        if (error) return self->finish(reason(error));
        std::string wrong = self->take(
            {exchange.piece.data(), exchange.piece.size() - exchange.parser->get().body().size});
        if (exchange.result.left || !wrong.empty()) return self->finish(wrong);
        self->read_body();
      });
}

std::string LoadClient::take(std::string_view bytes) {
  Exchange& exchange = *exchange_;
  if (!exchange.is_stream) {
    exchange.result.body.append(bytes);
    return {};
  }
  auto status = exchange.events.push(bytes, [this](std::string_view data) { take_event(data); });
  return status.ok() ? std::string() : status.error().message;
}

void LoadClient::take_event(std::string_view data) {
  ClientResult& result = exchange_->result;
  if (data == "[DONE]") {
    result.done = true;
    return;
  }
  // Only events that may say more than text are parsed: the load must be light.
  if (data.find("\"usage\":{") != std::string_view::npos ||
      data.find("\"usage\": {") != std::string_view::npos ||
      data.find("\"error\"") != std::string_view::npos) {
    auto json = base::parse_json(data, "event");
    if (!json.ok()) {
      result.error_event = "not JSON";
      return;
    }
    if (const Json* error = base::find(*json, "error")) result.error_event = message_of(*error);
    if (const Json* usage = base::find(*json, "usage")) {
      result.prompt_tokens = count(*usage, "prompt_tokens");
      result.completion_tokens = count(*usage, "completion_tokens");
      if (const Json* details = base::find(*usage, "prompt_tokens_details"))
        result.cached_tokens = count(*details, "cached_tokens");
    }
    const Json* choices = base::find(*json, "choices");
    if (!choices || choices->empty()) return;
  }
  auto now = LoadClock::now();
  if (result.events++ == 0)
    result.first = now;
  else
    result.gaps_ms.push_back(
        std::chrono::duration<float, std::milli>(now - exchange_->last).count());
  exchange_->last = now;
  if (exchange_->request.leave_after >= 0 && result.events > exchange_->request.leave_after)
    result.left = true;
}

void LoadClient::finish(std::string error) {
  std::unique_ptr<Exchange> exchange = std::move(exchange_);
  exchange->result.error = std::move(error);
  exchange->result.end = LoadClock::now();
  bool whole = exchange->parser && exchange->parser->is_done() && exchange->parser->keep_alive();
  if (!whole || !exchange->result.error.empty()) connection_.reset();
  exchange->done(std::move(exchange->result));
}

}  // namespace tokamak::cli
