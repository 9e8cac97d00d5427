// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/siphash.h"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace tokamak::executor {
namespace {

/// Of key 00 01 … 0f and input 00 01 … of that length: the authors' reference implementation
/// (github.com/veorq/SipHash, vectors.h, vectors_sip128).
struct Vector {
  size_t size;
  const char* hash;
};
constexpr Vector kVectors[] = {{0, "a3817f04ba25a8e66df67214c7550293"},
                               {1, "da87c1d86b99af44347659119b22fc45"},
                               {2, "8177228da4a45dc7fca38bdef60affe4"},
                               {3, "9c70b60c5267a94e5f33b6b02985ed51"},
                               {4, "f88164c12d9c8faf7d0f6e7c7bcd5579"},
                               {5, "1368875980776f8854527a07690e9627"},
                               {6, "14eeca338b208613485ea0308fd7a15e"},
                               {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},
                               {8, "3b62a9ba6258f5610f83e264f31497b4"},
                               {15, "5493e99933b0a8117e08ec0f97cfc3d9"},
                               {16, "6ee2a4ca67b054bbfd3315bf85230577"},
                               {31, "2939b0183223fafc1723de4f52c43d35"},
                               {62, "5853542321f567a005d547a4f04759bd"},
                               {63, "5150d1772f50834a503e069a973fbd7c"}};

std::vector<std::byte> counting(size_t size) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<std::byte>(i));
  return bytes;
}

std::string hex(const base::Hash128& hash) {
  std::string text;
  for (uint64_t word : {hash.high, hash.low}) {
    for (int i = 0; i < 8; ++i) text += fmt::format("{:02x}", word >> (8 * i) & 0xff);
  }
  return text;
}

TEST(SipHash, MatchesThePublishedVectorsAtEveryLengthOfTheLastWord) {
  const SipHash hash{{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}};
  for (const Vector& vector : kVectors) {
    EXPECT_EQ(hex(hash(counting(vector.size))), vector.hash) << vector.size << " bytes";
  }
}

TEST(SipHash, DependsOnEveryBitOfTheKey) {
  const SipHash hash{{1, 2}};
  const auto bytes = counting(20);
  for (int bit = 0; bit < 128; ++bit) {
    SipHash other = hash;
    other.key[bit / 64] ^= uint64_t{1} << bit % 64;
    EXPECT_NE(other(bytes), hash(bytes)) << bit;
  }
}

}  // namespace
}  // namespace tokamak::executor
