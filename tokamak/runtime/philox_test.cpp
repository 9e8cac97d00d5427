// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/philox.h"

#include <gtest/gtest.h>

namespace tokamak::runtime {
namespace {

struct Vector {
  PhiloxCounter counter;
  PhiloxKey key;
  PhiloxCounter bits;
};

// The known-answer vectors of the authors' Random123 distribution, philox 4x32 10.
constexpr Vector kVectors[] = {
    {{{0, 0, 0, 0}}, {{0, 0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
    {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
     {{0xffffffff, 0xffffffff}},
     {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
    {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
     {{0xa4093822, 0x299f31d0}},
     {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
};

TEST(Philox, GivesTheReferenceVectors) {
  for (const Vector& vector : kVectors) {
    const PhiloxCounter bits = philox4x32(vector.counter, vector.key);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(bits.word[i], vector.bits.word[i]) << i;
  }
}

TEST(Philox, IsKnownAtCompileTime) {
  static_assert(philox4x32({{0, 0, 0, 0}}, {{0, 0}}).word[0] == 0x6627e8d5);
  static_assert(philox_bits(0, 0) == 0xe169c58d6627e8d5);
}

TEST(Philox, UniformDrawsAreBelowOneAndSpreadEvenly) {
  int tenths[10] = {};
  for (int i = 0; i < 100000; ++i) {
    const double u = philox_uniform(7, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++tenths[static_cast<int>(u * 10)];
  }
  for (int count : tenths) EXPECT_NEAR(count, 10000, 400);
}

}  // namespace
}  // namespace tokamak::runtime
