// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/transport.h"

#include <cerrno>
#include <fstream>
#include <system_error>

#include <boost/asio/ssl.hpp>

namespace tokamak::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

class PlainTransport : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {}
  void handshake(std::function<void(const error_code&)> done) override { done({}); }
  void read_some(void* data, size_t size, Done done) override {
    socket_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void write_some(std::string_view data, Done done) override {
    socket_.async_write_some(asio::buffer(data.data(), data.size()), std::move(done));
  }
  void end_writing(std::function<void()> done) override {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    done();
  }
  void wait_for_reset(std::function<void()> done) override {
    socket_.async_wait(Socket::wait_error, [done = std::move(done)](const error_code&) { done(); });
  }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  Socket socket_;
};

class TlsTransport : public Transport {
 public:
  TlsTransport(Socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}
  void handshake(std::function<void(const error_code&)> done) override {
    stream_.async_handshake(asio::ssl::stream_base::server, std::move(done));
  }
  void read_some(void* data, size_t size, Done done) override {
    stream_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void write_some(std::string_view data, Done done) override {
    stream_.async_write_some(asio::buffer(data.data(), data.size()), std::move(done));
  }
  void end_writing(std::function<void()> done) override {
    stream_.async_shutdown([this, done = std::move(done)](const error_code&) {
      error_code ignored;
      stream_.next_layer().shutdown(Socket::shutdown_send, ignored);
      done();
    });
  }
  void wait_for_reset(std::function<void()> done) override {
    stream_.next_layer().async_wait(Socket::wait_error,
                                    [done = std::move(done)](const error_code&) { done(); });
  }
  void close() override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }

 private:
  asio::ssl::stream<Socket> stream_;
};

/// OpenSSL says the same of a file that is not there and of one that holds no PEM.
Result<void> check_readable(std::string_view what, const std::string& file) {
  errno = 0;
  std::ifstream stream(file);
  if (stream.good() && stream.peek() != std::ifstream::traits_type::eof()) return {};
  if (errno == 0) return base::invalid(fmt::format("{} {} is empty", what, file));
  return base::invalid(
      fmt::format("{} {}: {}", what, file, std::generic_category().message(errno)));
}

Error tls_error(std::string_view what, const std::string& file, const error_code& error) {
  return base::invalid(fmt::format("{} {}: {}", what, file, error.message()),
                       "it must be a PEM file");
}

}  // namespace

bool is_end_of_input(const error_code& error) {
  return error == asio::error::eof || error == asio::ssl::error::stream_truncated;
}

std::unique_ptr<Transport> plain_transport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> tls_transport(Socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsTransport>(std::move(socket), context);
}

Result<std::shared_ptr<asio::ssl::context>> load_tls(const std::string& certificate,
                                                     const std::string& key) {
  TKM_RETURN_IF_ERROR(check_readable("tls_certificate", certificate));
  TKM_RETURN_IF_ERROR(check_readable("tls_key", key));
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                       asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1);
  error_code error;
  context->use_certificate_chain_file(certificate, error);
  if (error) return tls_error("tls_certificate", certificate, error);
  context->use_private_key_file(key, asio::ssl::context::pem, error);
  if (error) return tls_error("tls_key", key, error);
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return base::invalid(
        fmt::format("tls_key {} does not belong to tls_certificate {}", key, certificate));
  }
  return context;
}

}  // namespace tokamak::server
