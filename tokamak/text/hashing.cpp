// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/hashing.h"

#include <random>

namespace tokamak::text {

uint64_t hash_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return uint64_t{device()} << 32 | device();
  }();
  return seed;
}

}  // namespace tokamak::text
