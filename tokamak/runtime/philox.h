// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10, a counter-based generator: Salmon, Moraes, Dror, Shaw, "Parallel random numbers:
// as easy as 1, 2, 3", SC'11. Random bits are a function of (key, counter) and there is no state,
// so a draw does not depend on what else is drawn. Includes nothing, so that device code can share
// it.
#pragma once

namespace tokamak::runtime {

struct PhiloxCounter {
  unsigned int word[4];
};
struct PhiloxKey {
  unsigned int word[2];
};

/// 128 random bits.
constexpr PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const unsigned long long a = 0xD2511F53ull * counter.word[0];
    const unsigned long long b = 0xCD9E8D57ull * counter.word[2];
    counter = {{static_cast<unsigned int>(b >> 32) ^ counter.word[1] ^ key.word[0],
                static_cast<unsigned int>(b),
                static_cast<unsigned int>(a >> 32) ^ counter.word[3] ^ key.word[1],
                static_cast<unsigned int>(a)}};
    key.word[0] += 0x9E3779B9u;
    key.word[1] += 0xBB67AE85u;
  }
  return counter;
}

/// 64 random bits of draw `position` of the stream `seed`.
constexpr unsigned long long philox_bits(unsigned long long seed, unsigned long long position) {
  const PhiloxCounter bits = philox4x32(
      {{static_cast<unsigned int>(position), static_cast<unsigned int>(position >> 32), 0, 0}},
      {{static_cast<unsigned int>(seed), static_cast<unsigned int>(seed >> 32)}});
  return static_cast<unsigned long long>(bits.word[1]) << 32 | bits.word[0];
}

/// A draw in [0, 1) with 53 bits.
constexpr double philox_uniform(unsigned long long seed, unsigned long long position) {
  return static_cast<double>(philox_bits(seed, position) >> 11) * 0x1p-53;
}

}  // namespace tokamak::runtime
