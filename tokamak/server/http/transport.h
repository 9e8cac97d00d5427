// SPDX-License-Identifier: Apache-2.0
// Bytes to and from one client, in the clear or through TLS.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>

#include "tokamak/base/result.h"

namespace boost::asio::ssl {
class context;
}

namespace tokamak::server {

using Socket = boost::asio::generic::stream_protocol::socket;

/// One read and one write may be under way at a time. Callbacks come in the socket's loop.
class Transport {
 public:
  using Done = std::function<void(const boost::system::error_code&, size_t bytes)>;

  virtual ~Transport() = default;
  virtual void handshake(std::function<void(const boost::system::error_code&)> done) = 0;
  virtual void read_some(void* data, size_t size, Done done) = 0;
  /// `data` must stay until `done`.
  virtual void write_some(std::string_view data, Done done) = 0;
  /// Tells the client that nothing more comes; what it sends can still be read. `done` keeps its
  /// owner alive until that is over.
  virtual void end_writing(std::function<void()> done) = 0;
  /// Calls `done` when the client has reset the connection, or when it is closed here. For those
  /// whose input has ended: they cannot be read from any more.
  virtual void wait_for_reset(std::function<void()> done) = 0;
  virtual void close() = 0;
};

/// The client has ended its side; it may still read. All other errors mean that it has gone.
bool is_end_of_input(const boost::system::error_code& error);

std::unique_ptr<Transport> plain_transport(Socket socket);
std::unique_ptr<Transport> tls_transport(Socket socket, boost::asio::ssl::context& context);

/// TLS 1.2 and later. Errors: invalid (a file that is not there or holds no such thing, or a key
/// that does not belong to the certificate).
Result<std::shared_ptr<boost::asio::ssl::context>> load_tls(const std::string& certificate,
                                                            const std::string& key);

}  // namespace tokamak::server
