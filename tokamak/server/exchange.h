// SPDX-License-Identifier: Apache-2.0
// What a handler sees of HTTP: the request that came, and the exchange that takes its answer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/server/body_budget.h"

namespace tokamak::server {

struct Header {
  std::string name, value;
};

/// Whether two texts are the same but for the case of ASCII letters, as names of headers are.
bool same_text(std::string_view a, std::string_view b);

/// The first header of this name, whatever its case.
std::optional<std::string_view> find_header(const std::vector<Header>& headers,
                                            std::string_view name);

struct HttpRequest {
  std::string method;
  std::string path;  ///< Percent-decoded, without the query; of a handler's, as the routes have it.
  std::string query;  ///< As sent, without the question mark.
  std::string host;   ///< Whom it is for, in lower case, without a port; empty if it does not say.
  std::vector<Header> headers;
  std::string body;
  std::string id;     ///< Of the client's X-Request-Id if that is one, else made up.
  std::string model;  ///< What stands for {model} in the route's path, or that of a deployment.
  int key = -1;       ///< Which of the server's API keys was given.

  std::optional<std::string_view> header(std::string_view name) const {
    return find_header(headers, name);
  }
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";  // Empty: there is no body.
  std::vector<Header> headers;
  std::string body;
};

/// Work that outlives its handler: the answers that are still to come. Lives as long as its
/// exchange, so its end is also how it learns that the client has gone.
class Job {
 public:
  virtual ~Job() = default;
  /// In the exchange's loop, once.
  virtual void start() = 0;
  /// In the exchange's loop: everything that was written has left.
  virtual void written() = 0;
  /// In the exchange's loop: the server stops. What is still to come of a stream that has begun is
  /// its end, which says so.
  virtual void stop() = 0;
};

/// One request and the way of its answer to the client. An answer is either one respond(), or
/// begin_stream(), any number of write() and one end_stream(). A handler that has done neither nor
/// run() within ServerOptions::handler_timeout_seconds is answered for with 500.
class Exchange {
 public:
  explicit Exchange(HttpRequest request, BodyShare share = {})
      : request_(std::move(request)), share_(std::move(share)) {}
  virtual ~Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const HttpRequest& request() const { return request_; }
  /// Before the handler is called: what the body is without its Content-Encoding. False if there
  /// is no room for it.
  bool replace_body(std::string body);
  /// After the handler has returned: it has read the body.
  void drop_body();

  /// From any thread: nobody waits for an answer any more.
  virtual bool gone() const = 0;

  /// From any thread. Dropped if the client has gone.
  virtual void respond(HttpResponse response) = 0;
  virtual void run(std::shared_ptr<Job> job) = 0;
  virtual void post(std::function<void()> task) = 0;
  /// Runs `task` on a request thread: it makes about `bytes` bytes, too many for the loop's thread.
  virtual void work(int64_t bytes, std::function<void()> task) = 0;

  /// In the exchange's loop.
  virtual void begin_stream(HttpResponse head) = 0;
  /// At most one write at a time: the next after Job::written().
  virtual void write(std::string_view bytes) = 0;
  virtual void end_stream() = 0;
  /// Cuts the connection: the client must not take what it has for all.
  virtual void abort() = 0;

 private:
  HttpRequest request_;
  BodyShare share_;
};

}  // namespace tokamak::server
