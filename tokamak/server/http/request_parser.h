// SPDX-License-Identifier: Apache-2.0
// Bytes of HTTP/1.1 to requests, however the bytes are split. Parsing is Boost.Beast's; limits and
// what a failure says are ours.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "tokamak/server/errors.h"
#include "tokamak/server/exchange.h"

namespace tokamak::server {

struct RequestHead {
  HttpRequest request;  ///< Without its body.
  std::optional<uint64_t> content_length;
  bool keep_alive = true;
  bool expects_continue = false;
  bool chunks_allowed = true;  ///< False: the client speaks HTTP/1.0.
};

/// One request. Make a new one for the next.
class RequestParser {
 public:
  RequestParser(int64_t max_header_bytes, int64_t max_body_bytes);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;
  RequestParser& operator=(RequestParser&&) noexcept;

  enum class Progress {
    kMore,     ///< All of `bytes` that can be used is; what is left must come again, with more.
    kHead,     ///< Once: the head is complete.
    kRequest,  ///< The body too.
    kRefused,
  };
  /// Takes bytes off the front.
  Progress feed(std::string_view& bytes);

  RequestHead& head();         ///< From kHead on.
  int64_t body_bytes() const;  ///< That have come.
  std::string body();          ///< After kRequest; moves it out.
  const Fault& fault();        ///< After kRefused: 400, 413, 431 or 501.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tokamak::server
