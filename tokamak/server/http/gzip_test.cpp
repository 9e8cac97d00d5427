// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/gzip.h"

#include <boost/beast/zlib/deflate_stream.hpp>
#include <boost/crc.hpp>
#include <gtest/gtest.h>

#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

std::string little_endian(uint32_t value) {
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string gzip(std::string_view text,
                 std::string_view head = {"\x1f\x8b\x08\0\0\0\0\0\0\x03", 10}) {
  namespace zlib = boost::beast::zlib;
  zlib::deflate_stream stream;
  std::string deflated(stream.upper_bound(text.size()) + 64, '\0');
  zlib::z_params z;
  z.next_in = text.data();
  z.avail_in = text.size();
  z.next_out = deflated.data();
  z.avail_out = deflated.size();
  boost::system::error_code error;
  stream.write(z, zlib::Flush::finish, error);
  deflated.resize(deflated.size() - z.avail_out);
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  return std::string(head) + deflated + little_endian(crc.checksum()) +
         little_endian(static_cast<uint32_t>(text.size()));
}

TEST(Gzip, IsUnpacked) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{1000}, size_t{1} << 20}) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>('a' + i * i % 23));
    EXPECT_EQ(gunzip(gzip(text), 1 << 20).value(), text);
  }
  EXPECT_EQ(gunzip(gzip("ab") + gzip("cd"), 4).value(), "abcd");
  // With an extra field, a name, a comment and a checksum of the head.
  const std::string head("\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x02\0xyname\0comment\0cc", 29);
  EXPECT_EQ(gunzip(gzip("ab", head), 4).value(), "ab");
}

TEST(Gzip, ThatIsBrokenIsRefused) {
  const std::string right = gzip("some text that is long enough");
  for (size_t size = 0; size < right.size(); ++size) {
    EXPECT_FALSE(gunzip(right.substr(0, size), 1000).ok()) << size;
  }
  for (size_t i : {size_t{0}, size_t{1}, size_t{2}, right.size() - 1, right.size() - 8}) {
    std::string wrong = right;
    wrong[i] = static_cast<char>(wrong[i] ^ 0x40);
    EXPECT_FALSE(gunzip(wrong, 1000).ok()) << i;
  }
  EXPECT_FALSE(gunzip(right + "x", 1000).ok());
}

TEST(Gzip, StopsAtTheLimitHoweverMuchThereIs) {
  const std::string bomb = gzip(std::string(64 << 20, 'a'));
  ASSERT_LT(bomb.size(), 1u << 18);
  EXPECT_EQ(gunzip(bomb, 1 << 20).error().code, ErrorCode::kOverloaded);
  EXPECT_TRUE(gunzip(gzip(std::string(1000, 'a')), 1000).ok());
  EXPECT_FALSE(gunzip(gzip(std::string(1001, 'a')), 1000).ok());
}

TEST(Gzip, OfARequestCountsAsWhatItIsUnpacked) {
  TestServer::Setup setup;
  setup.server.max_body_bytes = 1 << 20;
  TestServer test(setup);
  const auto post = [&](const std::string& body) {
    return test.ask("POST", "/tokenize", body, "Content-Encoding: gzip\r\n");
  };
  EXPECT_EQ(post(gzip(R"({"prompt":"abc"})")).json()["count"], 3);
  EXPECT_EQ(post(R"({"prompt":"abc"})").status, 400);
  EXPECT_EQ(post(gzip(std::string(64 << 20, ' '))).status, 413);
  EXPECT_EQ(test.ask("POST", "/tokenize", "{}", "Content-Encoding: br\r\n").status, 415);
}

}  // namespace
}  // namespace tokamak::server
