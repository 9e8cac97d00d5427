// SPDX-License-Identifier: Apache-2.0
// fill_random: values[i] = offset + scale * u(seed, i), u uniform in [-1, 1). A hash of the index
// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014: its finalizer),
// so that no thread waits for another's state.
//
// Grid: x = any number of blocks, which walk over all values together.
#pragma once

#include "tile/types.cuh"

namespace tkm {

TKM_DEVICE u64 mix_bits(u64 x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

template <typename T>
__global__ void fill_random(T* values, i64 count, float offset, float scale, u64 seed) {
  i64 step = i64{gridDim.x} * blockDim.x;
  for (i64 i = i64{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    u32 bits = static_cast<u32>(mix_bits(seed + static_cast<u64>(i) * 0x9e3779b97f4a7c15ull) >> 32);
    float uniform = static_cast<float>(static_cast<i32>(bits)) * 0x1p-31f;
    values[i] = from_float<T>(offset + scale * uniform);
  }
}

}  // namespace tkm
