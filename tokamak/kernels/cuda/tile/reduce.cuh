// SPDX-License-Identifier: Apache-2.0
// Sums and maxima over a warp or a thread block, in a fixed order.
#pragma once

#include "tile/async.cuh"

namespace tkm {

/// Over the WIDTH lanes around this one (a power of two); each gets the result.
template <int WIDTH = 32>
TKM_DEVICE float warp_sum(float x) {
#pragma unroll
  for (int step = WIDTH / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
template <int WIDTH = 32>
TKM_DEVICE float warp_max(float x) {
#pragma unroll
  for (int step = WIDTH / 2; step > 0; step /= 2)
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}

/// Over a block of THREADS (a multiple of 32); `scratch` holds THREADS / 32 floats and may be used
/// again after the next __syncthreads.
template <int THREADS>
TKM_DEVICE float block_sum(float x, float* scratch) {
  x = warp_sum(x);
  if constexpr (THREADS > 32) {
    if (lane_id() == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
#pragma unroll
    for (int i = 0; i < THREADS / 32; ++i) x += scratch[i];
  }
  return x;
}

}  // namespace tkm
