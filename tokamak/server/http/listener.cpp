// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/listener.h"

#include <boost/asio/post.hpp>
#include <netinet/tcp.h>

#include "tokamak/base/log.h"

namespace tokamak::server {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 4096;
constexpr auto kPause = std::chrono::milliseconds(100);
constexpr auto kWarnEvery = std::chrono::seconds(10);

/// A client whose machine has died is noticed after two minutes, also while the model works for it.
void set_options(tcp::socket& socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(tcp::socket::keep_alive(true), ignored);
  const std::pair<int, int> settings[] = {
      {TCP_KEEPIDLE, 60}, {TCP_KEEPINTVL, 15}, {TCP_KEEPCNT, 4}};
  for (auto [name, value] : settings) {
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, name, &value, sizeof(value));
  }
}

Result<tcp::endpoint> resolve(const std::string& host, int port) {
  error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  if (!error) return tcp::endpoint(address, static_cast<uint16_t>(port));
  boost::asio::io_context context;
  tcp::resolver resolver(context);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return base::invalid(fmt::format("host '{}' is no address and no known name", host));
  }
  return found.begin()->endpoint();
}

}  // namespace

Listener::Listener(std::vector<std::shared_ptr<EventLoop>> loops,
                   Accepted accepted,
                   Starved starved)
    : loops_(std::move(loops)),
      accepted_(std::move(accepted)),
      starved_(std::move(starved)),
      acceptor_(loops_.front()->context),
      pause_(loops_.front()->context) {}

Result<std::unique_ptr<Listener>> Listener::open(const std::string& host,
                                                 int port,
                                                 std::vector<std::shared_ptr<EventLoop>> loops,
                                                 Accepted accepted,
                                                 Starved starved) {
  TKM_ASSIGN(tcp::endpoint endpoint, resolve(host, port));
  std::unique_ptr<Listener> listener(
      new Listener(std::move(loops), std::move(accepted), std::move(starved)));
  TKM_RETURN_IF_ERROR(listener->bind(endpoint));
  return listener;
}

Result<void> Listener::bind(const tcp::endpoint& endpoint) {
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(kBacklog, error);
  if (error) {
    return base::io_error(fmt::format("cannot listen on {} port {}: {}",
                                      endpoint.address().to_string(),
                                      endpoint.port(),
                                      error.message()),
                          "choose another --port, or 0 for any free one");
  }
  port_ = acceptor_.local_endpoint(error).port();
  return {};
}

std::string Listener::address() const {
  error_code ignored;
  const auto endpoint = acceptor_.local_endpoint(ignored);
  const std::string host = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, port_)
                                    : fmt::format("{}:{}", host, port_);
}

bool Listener::on_loopback() const {
  error_code ignored;
  return acceptor_.local_endpoint(ignored).address().is_loopback();
}

void Listener::start() {
  boost::asio::post(loops_.front()->context, [this] { accept(); });
}

void Listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

void Listener::accept_failed(const error_code& error) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_warning_ >= kWarnEvery) {
    base::log_warn("no client can be accepted: {}; idle ones are closed", error.message());
    last_warning_ = now;
  }
  starved_();
  pause_.expires_after(kPause);
  pause_.async_wait([this](const error_code& stopped) {
    if (!stopped) accept();
  });
}

void Listener::accept() {
  std::shared_ptr<EventLoop> loop = loops_[next_++ % loops_.size()];
  acceptor_.async_accept(loop->context, [this, loop](const error_code& error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (error) return accept_failed(error);
    set_options(socket);
    auto shared = std::make_shared<Socket>(std::move(socket));
    boost::asio::post(loop->context, [this, loop, shared] { accepted_(std::move(*shared), loop); });
    accept();
  });
}

}  // namespace tokamak::server
