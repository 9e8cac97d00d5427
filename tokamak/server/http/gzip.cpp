// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/gzip.h"

#include <algorithm>

#include <boost/beast/zlib/inflate_stream.hpp>
#include <boost/crc.hpp>
#include <fmt/format.h>

namespace tokamak::server {
namespace {

namespace zlib = boost::beast::zlib;

constexpr size_t kFixedHead = 10;
constexpr size_t kTail = 8;  // CRC-32 and size.
enum Flags : unsigned char { kHeadCrc = 2, kExtra = 4, kName = 8, kComment = 16, kReserved = 0xe0 };

Error wrong(std::string_view what) {
  return base::invalid(fmt::format("body is not valid gzip: {}", what));
}

uint32_t little_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// Takes the head of a member off the front.
Result<void> skip_head(std::string_view& bytes) {
  if (bytes.size() < kFixedHead) return wrong("it is cut off");
  if (!bytes.starts_with("\x1f\x8b\x08")) return wrong("it does not begin as gzip does");
  const auto flags = static_cast<unsigned char>(bytes[3]);
  if ((flags & kReserved) != 0) return wrong("it has flags that are not known");
  size_t at = kFixedHead;
  if ((flags & kExtra) != 0) {
    if (bytes.size() < at + 2) return wrong("it is cut off");
    at +=
        2 + static_cast<unsigned char>(bytes[at]) + 256 * static_cast<unsigned char>(bytes[at + 1]);
  }
  for (unsigned char text : {kName, kComment}) {
    if ((flags & text) == 0) continue;
    const size_t end = bytes.find('\0', at);
    if (end == std::string_view::npos) return wrong("it is cut off");
    at = end + 1;
  }
  if ((flags & kHeadCrc) != 0) at += 2;
  if (bytes.size() < at) return wrong("it is cut off");
  bytes.remove_prefix(at);
  return {};
}

/// Takes the compressed text of a member off the front and appends what it says.
Result<void> inflate(std::string_view& bytes, int64_t max_bytes, std::string& out) {
  zlib::inflate_stream stream;
  char piece[16'384];
  zlib::z_params z;
  z.next_in = bytes.data();
  z.avail_in = bytes.size();
  for (boost::system::error_code error; error != zlib::error::end_of_stream;) {
    z.next_out = piece;
    z.avail_out = sizeof(piece);
    const size_t unread = z.avail_in;
    error = {};
    stream.write(z, zlib::Flush::none, error);
    const size_t size = sizeof(piece) - z.avail_out;
    if (std::ssize(out) + static_cast<int64_t>(size) > max_bytes) {
      return Error{ErrorCode::kOverloaded,
                   fmt::format("body has more than {} bytes when it is unpacked", max_bytes),
                   ""};
    }
    out.append(piece, size);
    const bool stuck = size == 0 && z.avail_in == unread;
    if (error && error != zlib::error::end_of_stream && error != zlib::error::need_buffers) {
      return wrong(error.message());
    }
    if (error != zlib::error::end_of_stream && stuck) return wrong("it is cut off");
  }
  bytes.remove_prefix(bytes.size() - z.avail_in);
  return {};
}

}  // namespace

Result<std::string> gunzip(std::string_view bytes, int64_t max_bytes) {
  std::string out;
  do {  // Several members one after the other are one text.
    const size_t begin = out.size();
    TKM_RETURN_IF_ERROR(skip_head(bytes));
    TKM_RETURN_IF_ERROR(inflate(bytes, max_bytes, out));
    if (bytes.size() < kTail) return wrong("it is cut off");
    boost::crc_32_type crc;
    crc.process_bytes(out.data() + begin, out.size() - begin);
    if (crc.checksum() != little_endian(bytes) ||
        static_cast<uint32_t>(out.size() - begin) != little_endian(bytes.substr(4))) {
      return wrong("its checksum is another");
    }
    bytes.remove_prefix(kTail);
  } while (!bytes.empty());
  return out;
}

}  // namespace tokamak::server
