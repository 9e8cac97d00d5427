// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/connection_exchange.h"

#include <boost/asio/post.hpp>

namespace tokamak::server {

ConnectionExchange::ConnectionExchange(HttpRequest request,
                                       BodyShare share,
                                       const std::shared_ptr<Connection>& connection)
    : Exchange(std::move(request), std::move(share)),
      connection_(connection),
      loop_(connection->loop_) {}

template <typename Call>
void ConnectionExchange::in_loop(Call call) {
  boost::asio::post(loop_->context, [weak = weak_from_this(), call = std::move(call)]() mutable {
    auto self = weak.lock();
    if (!self) return;
    if (auto connection = self->current()) call(*connection);
  });
}

void ConnectionExchange::respond(HttpResponse response) {
  in_loop([response = std::move(response)](Connection& connection) mutable {
    connection.respond(std::move(response));
  });
}

void ConnectionExchange::run(std::shared_ptr<Job> job) {
  in_loop([job = std::move(job)](Connection& connection) { connection.run(job); });
}

void ConnectionExchange::post(std::function<void()> task) {
  boost::asio::post(loop_->context, std::move(task));
}

void ConnectionExchange::work(int64_t bytes, std::function<void()> task) {
  if (auto connection = current()) connection->context_.work(request().key, bytes, std::move(task));
}

void ConnectionExchange::begin_stream(HttpResponse head) {
  if (auto connection = current()) connection->send_head(head, std::nullopt);
}

void ConnectionExchange::write(std::string_view bytes) {
  if (auto connection = current()) connection->write_chunk(bytes);
}

void ConnectionExchange::end_stream() {
  if (auto connection = current()) connection->end_stream();
}

void ConnectionExchange::abort() {
  in_loop([](Connection& connection) { connection.close(); });
}

}  // namespace tokamak::server
