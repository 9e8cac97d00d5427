// SPDX-License-Identifier: Apache-2.0
// greedy: the lowest index of the largest of each row's values; -1 for a row with a NaN or a
// positive infinity, or without a finite value, whose error the host then words.
//
// Value and index become one integer that orders as wanted, so that the maximum over blocks is an
// atomic one and the same in any order of arrival.
//
// Grid: x = blocks of a row, y = rows; THREADS threads. best and arrived hold a word a row, zero
// before and after a launch.
#pragma once

#include "sample/row.cuh"

namespace tkm {

TKM_DEVICE u64 max_key(u64 a, u64 b) {
  return a > b ? a : b;
}

TKM_DEVICE i32 greedy_token(u64 key) {
  constexpr u32 kPlusInfinity = 0xff800000u, kMinusInfinity = 0x007fffffu;
  u32 ordered = static_cast<u32>(key >> 32);
  if (ordered >= kPlusInfinity || ordered <= kMinusInfinity) return -1;
  return index_of_key(key);
}

template <int THREADS>
__global__ void __launch_bounds__(THREADS)
    greedy(const float* logits, i32* tokens, u64* best, u32* arrived, int columns) {
  __shared__ u64 of_warp[THREADS / 32];
  wait_for_predecessors();
  start_successors();
  int row = static_cast<int>(blockIdx.y);
  const float* values = logits + i64{row} * columns;
  u64 key = 0;
  int step = static_cast<int>(gridDim.x) * THREADS;
  for (int i = static_cast<int>(blockIdx.x) * THREADS + static_cast<int>(threadIdx.x); i < columns;
       i += step) {
    key = max_key(key, best_key(values[i], static_cast<u32>(i)));
  }
  for (int lanes = 16; lanes > 0; lanes /= 2)
    key = max_key(key, __shfl_xor_sync(0xffffffffu, key, lanes));
  if (lane_id() == 0) of_warp[threadIdx.x / 32] = key;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (u64 other : of_warp) key = max_key(key, other);
  atomicMax(&best[row], key);
  if (count_up(&arrived[row], gridDim.x - 1) != gridDim.x - 1) return;
  tokens[row] = greedy_token(atomicExch(&best[row], u64{0}));
}

}  // namespace tkm
