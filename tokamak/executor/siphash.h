// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 with 128 bits (Aumasson, Bernstein: SipHash, a fast short-input PRF, INDOCRYPT 2012):
// who does not know the key cannot make two inputs collide on purpose.
#pragma once

#include <bit>
#include <cstring>
#include <span>

#include "tokamak/base/hash.h"

namespace tokamak::executor {

struct SipHash {
  uint64_t key[2] = {0, 0};

  base::Hash128 operator()(std::span<const std::byte> bytes) const {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u,
                     key[1] ^ 0x646f72616e646f6du ^ 0xee,
                     key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    const size_t whole = bytes.size() / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) absorb(v, word(bytes.subspan(i, 8)));
    absorb(v, word(bytes.subspan(whole)) | uint64_t{bytes.size() & 0xff} << 56);
    v[2] ^= 0xee;
    for (int i = 0; i < 4; ++i) round(v);
    const uint64_t first = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    for (int i = 0; i < 4; ++i) round(v);
    return {first, v[0] ^ v[1] ^ v[2] ^ v[3]};
  }

 private:
  /// Up to 8 bytes, the first one lowest.
  static uint64_t word(std::span<const std::byte> bytes) {
    uint64_t value = 0;
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    static_assert(std::endian::native == std::endian::little);
    return value;
  }
  static void absorb(uint64_t (&v)[4], uint64_t word) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
  }
  static void round(uint64_t (&v)[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = std::rotl(v[1], 13) ^ v[0];
    v[3] = std::rotl(v[3], 16) ^ v[2];
    v[0] = std::rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = std::rotl(v[1], 17) ^ v[2];
    v[3] = std::rotl(v[3], 21) ^ v[0];
    v[2] = std::rotl(v[2], 32);
  }
};

}  // namespace tokamak::executor
