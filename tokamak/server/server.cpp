// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/server.h"

#include <future>
#include <mutex>
#include <thread>

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>

#include "tokamak/base/log.h"
#include "tokamak/server/descriptors.h"
#include "tokamak/server/http/connection.h"
#include "tokamak/server/http/listener.h"
#include "tokamak/server/request_threads.h"

namespace tokamak::server {
namespace {

/// For the last words of answers that a stop ends: only clients that do not read take so long.
constexpr std::chrono::milliseconds kFarewell{1000};

/// As many connections as this process may have descriptors for.
void bound_connections(ServerOptions& options) {
  const int64_t descriptors = raise_descriptor_limit();
  const int64_t most = connections_within(options.max_connections, descriptors);
  if (most == options.max_connections) return;
  base::log_warn("max_connections is {}, but this process may have {} descriptors: {} it is",
                 options.max_connections,
                 descriptors,
                 most);
  options.max_connections = most;
}

/// Often enough to keep the shortest timeout within a quarter of its length.
std::chrono::nanoseconds sweep_interval(const ServerOptions& options) {
  const double shortest = std::min({options.header_timeout_seconds,
                                    options.body_timeout_seconds,
                                    options.idle_timeout_seconds,
                                    options.write_timeout_seconds});
  const double seconds = std::clamp(shortest / 4, 0.005, 1.0);
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(seconds));
}

}  // namespace

struct Server::Parts {
  explicit Parts(ServerOptions options)
      : service(std::move(options)),
        request_threads(service.options.request_threads, service.options.max_request_queue),
        context{.service = service,
                .dispatch = [this](const Route& route,
                                   const std::shared_ptr<Exchange>& e) { dispatch(route, e); },
                .work = [this](int key,
                               int64_t bytes,
                               std::function<void()> task) { work(key, bytes, std::move(task)); }} {
    for (int64_t i = 0; i < service.options.http_threads; ++i) {
      loops.push_back(std::make_shared<EventLoop>());
    }
  }

  void dispatch(const Route& route, const std::shared_ptr<Exchange>& exchange) {
    if (route.body == Body::kNone) return server::dispatch(service, route, exchange);
    // A client that goes away takes its exchange with it, and nothing is left to do.
    std::weak_ptr<Exchange> waiting = exchange;
    const HttpRequest& request = exchange->request();
    const bool taken =
        request_threads.post(request.key, std::ssize(request.body), [this, &route, waiting] {
          if (auto here = waiting.lock()) server::dispatch(service, route, here);
        });
    if (!taken) exchange->respond(error_response(wire_of(request.path), fault_of(queue_is_full())));
  }

  Error queue_is_full() const {
    return {ErrorCode::kOverloaded,
            fmt::format("max_request_queue is {}, as many requests wait to be read",
                        service.options.max_request_queue),
            ""};
  }

  void work(int key, int64_t bytes, std::function<void()> task) {
    if (!request_threads.post(key, bytes, task)) task();
  }

  void accept(Socket socket, const std::shared_ptr<EventLoop>& loop) {
    if (context.num_connections >= service.options.max_connections && !make_room(loop)) return;
    const auto encryption = this->encryption();
    auto transport = encryption ? tls_transport(std::move(socket), *encryption)
                                : plain_transport(std::move(socket));
    std::make_shared<Connection>(context, loop, std::move(transport))->start();
  }

  /// Closes the connection that has been idle for longest, of `here` if that has any.
  bool make_room(const std::shared_ptr<EventLoop>& here) {
    if (here->close_longest_idle()) return true;
    for (const auto& loop : loops) {
      if (loop == here || loop->num_idle() == 0) continue;
      boost::asio::post(loop->context, [loop] { loop->close_longest_idle(); });
      return true;
    }
    return false;
  }

  std::shared_ptr<boost::asio::ssl::context> encryption() {
    std::lock_guard lock(tls_mutex);
    return tls;
  }

  Service service;
  RequestThreads request_threads;
  ConnectionContext context;
  std::mutex tls_mutex;
  std::shared_ptr<boost::asio::ssl::context> tls;  // Under tls_mutex; null: in the clear.
  std::vector<std::shared_ptr<EventLoop>> loops;
  std::unique_ptr<Listener> listener;
  std::once_flag stopped;
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  stop();
}

Result<std::unique_ptr<Server>> Server::start(ServerOptions options) {
  TKM_RETURN_IF_ERROR(options.validate());
  bound_connections(options);
  auto parts = std::make_unique<Parts>(std::move(options));
  const ServerOptions& o = parts->service.options;
  if (!o.tls_certificate.empty()) {
    TKM_ASSIGN(parts->tls, load_tls(o.tls_certificate, o.tls_key));
  }
  Parts& p = *parts;
  TKM_ASSIGN(p.listener,
             Listener::open(
                 o.host,
                 static_cast<int>(o.port),
                 p.loops,
                 [&p](Socket socket, std::shared_ptr<EventLoop> loop) {
                   p.accept(std::move(socket), loop);
                 },
                 [&p] { p.make_room(p.loops.front()); }));
  p.service.on_loopback = p.listener->on_loopback();
  for (auto& loop : p.loops) loop->start(sweep_interval(o));
  p.listener->start();
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

void Server::serve(Model model) {
  if (model.created == 0) model.created = std::time(nullptr);
  parts_->service.serve(std::make_shared<const Model>(std::move(model)));
}

Result<void> Server::reload(const std::vector<std::string>& api_keys) {
  Parts& p = *parts_;
  const ServerOptions& o = p.service.options;
  TKM_RETURN_IF_ERROR(validate_keys(api_keys));
  if (api_keys.empty() && p.service.auth()->needed()) {
    return base::invalid("api_keys is empty now, so everybody would be let in",
                         "start the server anew if that is meant");
  }
  if (!o.tls_certificate.empty()) {
    TKM_ASSIGN(auto tls, load_tls(o.tls_certificate, o.tls_key));
    std::lock_guard lock(p.tls_mutex);
    p.tls = std::move(tls);
  }
  p.service.use_keys(api_keys);
  return {};
}

bool Server::drain(std::chrono::nanoseconds timeout, const std::function<bool()>& give_up) {
  parts_->service.drain();
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (parts_->context.num_answering > 0) {
    if (std::chrono::steady_clock::now() >= end || (give_up && give_up())) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

void Server::stop() {
  std::call_once(parts_->stopped, [this] {
    Parts& p = *parts_;
    p.service.drain();
    std::promise<void> closed;
    boost::asio::post(p.loops.front()->context, [&] {
      p.listener->close();
      closed.set_value();
    });
    closed.get_future().wait();
    p.request_threads.stop();
    for (auto& loop : p.loops) loop->end_answers();
    const auto end = std::chrono::steady_clock::now() + kFarewell;
    for (auto& loop : p.loops) {
      while (loop->is_answering() && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    for (auto& loop : p.loops) loop->stop();
  });
}

int Server::port() const {
  return parts_->listener->port();
}

std::string Server::url() const {
  return (parts_->encryption() ? "https://" : "http://") + parts_->listener->address();
}

void Server::adopt(int descriptor) {
  auto loop = parts_->loops.back();
  boost::asio::post(loop->context, [this, loop, descriptor] {
    Socket socket(loop->context, boost::asio::generic::stream_protocol(AF_UNIX, 0), descriptor);
    parts_->accept(std::move(socket), loop);
  });
}

}  // namespace tokamak::server
