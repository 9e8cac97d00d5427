// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/request_parser.h"

#include <limits>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>

#include "tokamak/server/http/head_rules.h"
#include "tokamak/server/paths.h"

namespace tokamak::server {
namespace {

namespace http = boost::beast::http;

/// Grows as the bytes come. Beast's own takes at once what a head announces, which costs its sender
/// nothing.
struct GrowingBody {
  using value_type = std::string;
  class reader {
   public:
    template <bool is_request, typename Fields>
    reader(http::header<is_request, Fields>&, std::string& body) : body_(body) {}
    void init(const boost::optional<uint64_t>&, boost::system::error_code& error) { error = {}; }
    template <typename Buffers>
    size_t put(const Buffers& buffers, boost::system::error_code& error) {
      error = {};
      size_t size = 0;
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers);
           ++it) {
        const boost::asio::const_buffer buffer = *it;
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
        size += buffer.size();
      }
      return size;
    }
    void finish(boost::system::error_code& error) { error = {}; }

   private:
    std::string& body_;
  };
};

using Parser = http::request_parser<GrowingBody>;

/// Of one chunk's head with its extensions, and of the trailer.
constexpr size_t kMaxChunkHeadBytes = 4096;

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

Fault fault_of_parse(const boost::system::error_code& error,
                     int64_t max_header_bytes,
                     int64_t max_body_bytes) {
  if (error == http::error::header_limit) {
    return {431,
            fmt::format("request line and headers have more than {} bytes", max_header_bytes),
            "invalid_request_error",
            {},
            "headers_too_large",
            {}};
  }
  if (error == http::error::body_limit || error == http::error::buffer_overflow) {
    return {413,
            fmt::format("body has more than {} bytes", max_body_bytes),
            "invalid_request_error",
            {},
            "body_too_large",
            {}};
  }
  Fault fault = bad_request(fmt::format("this is not HTTP/1.1: {}", error.message()));
  fault.code = "malformed_request";
  return fault;
}

}  // namespace

struct RequestParser::State {
  Parser parser;
  RequestHead head;
  Fault fault;
  int64_t max_header_bytes = 0, max_body_bytes = 0;
  bool head_told = false;

  Progress refuse(Fault why) {
    fault = std::move(why);
    return Progress::kRefused;
  }

  std::optional<Fault> read_head() {
    const auto& message = parser.get();
    const std::string_view target = view(message.target());
    const bool of_server = target == "*" && view(message.method_string()) == "OPTIONS";
    auto path = of_server ? std::optional<std::string>(target) : decode_path(target);
    if (!path) return bad_request("request target is not a valid path");
    head.request.method = std::string(view(message.method_string()));
    head.request.path = std::move(*path);
    if (const size_t mark = target.find('?'); mark != std::string_view::npos) {
      head.request.query = target.substr(mark + 1);
    }
    auto& headers = head.request.headers;
    for (const auto& field : message) {
      headers.push_back({std::string(view(field.name_string())), std::string(view(field.value()))});
    }
    const int version = static_cast<int>(message.version());
    if (auto fault = check_framing(headers, version)) return fault;
    if (auto fault = check_host(headers, version)) return fault;
    auto host = host_of(target, headers);
    if (!host) return bad_request("request target names no valid host");
    head.request.host = std::move(*host);
    if (auto length = parser.content_length()) head.content_length = *length;
    head.keep_alive = message.keep_alive();
    head.chunks_allowed = message.version() >= 11;
    const auto expect = message.find(http::field::expect);
    head.expects_continue =
        expect != message.end() && boost::beast::iequals(expect->value(), "100-continue");
    return {};
  }
};

RequestParser::RequestParser(int64_t max_header_bytes, int64_t max_body_bytes)
    : state_(std::make_unique<State>()) {
  state_->max_header_bytes = max_header_bytes;
  state_->max_body_bytes = max_body_bytes;
  state_->parser.header_limit(static_cast<uint32_t>(max_header_bytes));
  // A body that announces its length is refused with the head's other faults, before it is read.
  state_->parser.body_limit(std::numeric_limits<uint64_t>::max());
  state_->parser.eager(false);
}

RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;

RequestHead& RequestParser::head() {
  return state_->head;
}
int64_t RequestParser::body_bytes() const {
  return std::ssize(state_->parser.get().body());
}
std::string RequestParser::body() {
  return std::move(state_->parser.get().body());
}
const Fault& RequestParser::fault() {
  return state_->fault;
}

RequestParser::Progress RequestParser::feed(std::string_view& bytes) {
  State& s = *state_;
  for (;;) {
    if (s.parser.is_header_done() && !s.head_told) {
      s.head_told = true;
      if (auto fault = s.read_head()) return s.refuse(std::move(*fault));
      return Progress::kHead;
    }
    if (s.parser.is_done()) return Progress::kRequest;
    if (s.head_told) s.parser.eager(true);
    boost::system::error_code error;
    const size_t used = s.parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    bytes.remove_prefix(used);
    if (s.parser.get().body().size() > static_cast<size_t>(s.max_body_bytes)) {
      return s.refuse(
          fault_of_parse(http::error::body_limit, s.max_header_bytes, s.max_body_bytes));
    }
    if (error == http::error::need_more) {
      if (s.head_told && bytes.size() > kMaxChunkHeadBytes) {
        return s.refuse(bad_request("the head of a chunk is too long"));
      }
      return Progress::kMore;
    }
    if (error) return s.refuse(fault_of_parse(error, s.max_header_bytes, s.max_body_bytes));
    if (bytes.empty() && !s.parser.is_done() && s.head_told == s.parser.is_header_done()) {
      return Progress::kMore;
    }
  }
}

}  // namespace tokamak::server
