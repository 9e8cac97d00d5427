// SPDX-License-Identifier: Apache-2.0
// One connection of a load: sends a request, reads its events as they come, keeps the times.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace tokamak::cli {

using LoadClock = std::chrono::steady_clock;

struct ClientRequest {
  std::string method, target, api_key, body;
  double timeout = 600;      ///< Seconds.
  int64_t leave_after = -1;  ///< Events after which the client goes away; -1: never.
};

struct ClientResult {
  int status = 0;
  std::string error;  ///< What went wrong on the way: "connect: …", "timeout", "closed early", …
  bool connected = false;
  bool left = false;  ///< leave_after was reached.
  std::string body;   ///< Of an answer that is no event stream.
  LoadClock::time_point begin, first, end;
  std::vector<float> gaps_ms;  ///< Between events with text.
  int64_t events = 0;          ///< With text.
  std::string error_event;     ///< The message of an error within the stream.
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  bool done = false;  ///< "[DONE]" came.
};

/// Keeps its connection between requests. Used from the context's thread; one request at a time.
class LoadClient : public std::enable_shared_from_this<LoadClient> {
 public:
  LoadClient(boost::asio::io_context& context,
             boost::asio::ip::tcp::resolver::results_type server,
             std::string host);
  ~LoadClient();
  void send(const ClientRequest& request, std::function<void(ClientResult)> done);

 private:
  struct Exchange;
  void write(bool fresh);
  void read_head(bool fresh);
  void read_body();
  /// What is wrong with them, if anything.
  std::string take(std::string_view bytes);
  void take_event(std::string_view data);
  void finish(std::string error);

  boost::asio::io_context& context_;
  const boost::asio::ip::tcp::resolver::results_type server_;
  const std::string host_;
  std::unique_ptr<Exchange> exchange_;
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace tokamak::cli
