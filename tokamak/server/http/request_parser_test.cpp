// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/request_parser.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace tokamak::server {
namespace {

using Progress = RequestParser::Progress;

struct Parsed {
  Progress progress = Progress::kMore;
  HttpRequest request;
  std::string rest;
  int status = 0;
};

/// Feeds `bytes` in pieces that end at `cuts`, as a connection does.
Parsed parse(std::string_view bytes,
             const std::vector<size_t>& cuts,
             int64_t max_header_bytes = 1024,
             int64_t max_body_bytes = 64) {
  RequestParser parser(max_header_bytes, max_body_bytes);
  Parsed parsed;
  std::string buffer;
  size_t begin = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t end = i < cuts.size() ? cuts[i] : bytes.size();
    buffer += bytes.substr(begin, end - begin);
    begin = end;
    for (;;) {
      std::string_view rest = buffer;
      parsed.progress = parser.feed(rest);
      buffer.erase(0, buffer.size() - rest.size());
      if (parsed.progress == Progress::kRefused) {
        parsed.status = parser.fault().status;
        return parsed;
      }
      if (parsed.progress == Progress::kRequest) {
        parsed.request = parser.head().request;
        parsed.request.body = parser.body();
        parsed.rest = buffer + std::string(bytes.substr(begin));
        return parsed;
      }
      if (parsed.progress == Progress::kMore) break;
    }
  }
  return parsed;
}

constexpr std::string_view kSized =
    "POST /a%20b?q=1 HTTP/1.1\r\nHost: x\r\nX-Thing: 7\r\nContent-Length: 5\r\n\r\nhelloGET ";
constexpr std::string_view kChunked =
    "POST /v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\nGET ";

void expect_hello(const Parsed& parsed, std::string_view path, size_t cut) {
  ASSERT_EQ(parsed.progress, Progress::kRequest) << cut;
  EXPECT_EQ(parsed.request.method, "POST") << cut;
  EXPECT_EQ(parsed.request.path, path) << cut;
  EXPECT_EQ(parsed.request.body, "hello") << cut;
  EXPECT_EQ(parsed.rest, "GET ") << cut;
}

TEST(RequestParser, GivesTheSameForEverySplitOfTheBytes) {
  for (size_t cut = 0; cut <= kSized.size(); ++cut) expect_hello(parse(kSized, {cut}), "/a b", cut);
  for (size_t cut = 0; cut <= kChunked.size(); ++cut) {
    expect_hello(parse(kChunked, {cut}), "/v1", cut);
  }
  std::vector<size_t> every;
  for (size_t i = 1; i < kChunked.size(); ++i) every.push_back(i);
  expect_hello(parse(kChunked, every), "/v1", 0);
  EXPECT_EQ(parse(kSized, {}).request.header("x-thing"), "7");
  EXPECT_EQ(parse(kSized, {}).request.query, "q=1");
}

TEST(RequestParser, BoundsTheHead) {
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + std::string(2000, 'a');
  EXPECT_EQ(parse(head, {}).status, 431);
  EXPECT_EQ(parse(head, {500, 900}).status, 431);
  std::string target = "GET /" + std::string(2000, 'a');
  EXPECT_EQ(parse(target, {100}).status, 431);
}

TEST(RequestParser, BoundsABodyInChunks) {
  std::string body = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 5; ++i) body += "10\r\n0123456789abcdef\r\n";
  EXPECT_EQ(parse(body, {}).status, 413);
  EXPECT_EQ(parse(body, {90}).status, 413);
  std::string endless = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;";
  EXPECT_EQ(parse(endless + std::string(10'000, 'e'), {}).status, 400);
}

TEST(RequestParser, RefusesWhatOthersMayReadDifferently) {
  for (std::string_view bytes : {
           "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: "
           "chunked\r\n\r\n0\r\n\r\n",
           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n",
           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
           "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
           "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
           "GET relative HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n",
           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
           "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc",
           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 4\r\n\r\nabc",
           "GET / HTTP/1.1\nHost: x\n\n",
           "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
       }) {
    Parsed parsed = parse(bytes, {});
    EXPECT_EQ(parsed.progress, Progress::kRefused) << bytes;
    EXPECT_EQ(parsed.status, 400) << bytes;
  }
}

TEST(RequestParser, RefusesChunksThatOthersMayReadDifferently) {
  for (std::string_view chunks : {
           "0x3\r\nabc\r\n0\r\n\r\n",
           "+3\r\nabc\r\n0\r\n\r\n",
           "-3\r\nabc\r\n0\r\n\r\n",
           "3 \r\nabc\r\n0\r\n\r\n",
           " 3\r\nabc\r\n0\r\n\r\n",
           "3\nabc\r\n0\r\n\r\n",
           "3;a\nb\r\nabc\r\n0\r\n\r\n",
           "3\r\nabcd\r\n0\r\n\r\n",
           "3\r\nabc0\r\n\r\n",
           "\r\n\r\n",
       }) {
    const std::string bytes =
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(chunks);
    Parsed parsed = parse(bytes, {});
    EXPECT_EQ(parsed.progress, Progress::kRefused) << chunks;
    EXPECT_EQ(parsed.status, 400) << chunks;
  }
}

/// The status of a POST with these header lines and a body in chunks; 200 if it is taken with that
/// body.
int status_with(std::string_view lines, std::string_view version = "HTTP/1.1") {
  Parsed parsed =
      parse(fmt::format("POST / {}\r\n{}\r\n3\r\nabc\r\n0\r\n\r\n", version, lines), {});
  if (parsed.progress == Progress::kRefused) return parsed.status;
  EXPECT_EQ(parsed.progress, Progress::kRequest) << lines;
  EXPECT_EQ(parsed.request.body, "abc") << lines;
  return 200;
}

TEST(RequestParser, TakesNoTransferCodingButChunkedOnceAndLast) {
  const std::pair<std::string_view, int> cases[] = {
      {"Transfer-Encoding: chunked\r\n", 200},
      {"transfer-encoding:\tCHUNKED \r\n", 200},
      {"Transfer-Encoding: xchunked\r\n", 501},
      {"Transfer-Encoding: chunkedx\r\n", 501},
      {"Transfer-Encoding: identity\r\n", 501},
      {"Transfer-Encoding: gzip\r\n", 501},
      {"Transfer-Encoding: gzip, chunked\r\n", 501},
      {"Transfer-Encoding: identity, chunked\r\n", 501},
      {"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501},
      {"Transfer-Encoding: chunked, identity\r\n", 400},
      {"Transfer-Encoding: chunked, gzip\r\n", 400},
      {"Transfer-Encoding: chunked, chunked\r\n", 400},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400},
      {"Transfer-Encoding: \"chunked\"\r\n", 400},
      {"Transfer-Encoding: chunked;q=1\r\n", 400},
      {"Transfer-Encoding: chunked,\r\n", 400},
      {"Transfer-Encoding: , chunked\r\n", 400},
      {"Transfer-Encoding: chunked identity\r\n", 400},
      {"Transfer-Encoding: \vchunked\r\n", 400},
      {"Transfer-Encoding:\r\n", 400},
      {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400},
      {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400},
      {"Content-Length: 3\r\nTransfer-Encoding: identity\r\n", 400},
  };
  for (auto [lines, status] : cases) {
    EXPECT_EQ(status_with("Host: x\r\n" + std::string(lines)), status) << lines;
  }
  EXPECT_EQ(status_with("Host: x\r\nTransfer-Encoding: chunked\r\n", "HTTP/1.0"), 400);
}

TEST(RequestParser, WantsOneValidHost) {
  const auto host_of = [](std::string_view lines, std::string_view line = "GET /a HTTP/1.1") {
    Parsed parsed = parse(fmt::format("{}\r\n{}\r\n", line, lines), {});
    return parsed.progress == Progress::kRefused ? std::to_string(parsed.status)
                                                 : parsed.request.host;
  };
  EXPECT_EQ(host_of("Host: Example.com:80\r\n"), "example.com");
  EXPECT_EQ(host_of("Host: 127.0.0.1\r\n"), "127.0.0.1");
  EXPECT_EQ(host_of("Host: [::1]:8000\r\n"), "::1");
  EXPECT_EQ(host_of("Host: my_box.local:\r\n"), "my_box.local");
  EXPECT_EQ(host_of("Host:\r\n"), "");
  EXPECT_EQ(host_of("", "GET /a HTTP/1.0"), "");
  for (const char* wrong : {"",
                            "Host: a\r\nHost: a\r\n",
                            "Host: a\r\nhost: b\r\n",
                            "Host: a b\r\n",
                            "Host: a/b\r\n",
                            "Host: user@a\r\n",
                            "Host: http://a\r\n",
                            "Host: a:b\r\n",
                            "Host: a:1:2\r\n",
                            "Host: ::1\r\n",
                            "Host: [::1\r\n",
                            "Host: [x]\r\n",
                            "Host: [::1]x\r\n",
                            "Host: a%zz\r\n",
                            "Host: a\\b\r\n"}) {
    EXPECT_EQ(host_of(wrong), "400") << wrong;
  }
  EXPECT_EQ(host_of("Host: a\r\nHost: b\r\n", "GET /a HTTP/1.0"), "400");
  // The target's host is the one that counts.
  EXPECT_EQ(host_of("Host: a\r\n", "GET http://B:1/a HTTP/1.1"), "b");
  EXPECT_EQ(host_of("", "GET http://b/a HTTP/1.1"), "400");
  EXPECT_EQ(host_of("Host: a\r\n", "GET http://me@b/a HTTP/1.1"), "400");
  EXPECT_EQ(host_of("Host: a\r\n", "GET http:///a HTTP/1.1"), "400");
}

}  // namespace
}  // namespace tokamak::server
