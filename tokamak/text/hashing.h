// SPDX-License-Identifier: Apache-2.0
// Hashes of short byte strings and of integers for the tables of this module.
#pragma once

#include <cstdint>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tokamak::text {

/// Drawn once a process, so that nobody can prepare strings that collide.
uint64_t hash_seed();

inline uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

inline uint64_t hash_integer(uint64_t value, uint64_t seed) {
  value = (value ^ seed) * 0x9e3779b97f4a7c15u;
  return (value ^ value >> 32) * 0xd6e8feb86659fd93u;
}

}  // namespace tokamak::text
