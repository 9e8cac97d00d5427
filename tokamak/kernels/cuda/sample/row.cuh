// SPDX-License-Identifier: Apache-2.0
// What kernels share that have a block for a row of logits: passes over the row, its largest
// element, a bound for its k best, sums that are the same in any order.
#pragma once

#include "tile/reduce.cuh"

namespace tkm {

constexpr int kRowThreads = 512;
constexpr int kRowWarps = kRowThreads / 32;
/// Elements of a row that are compared one by one.
constexpr int kRowRoom = 2048;

/// Orders as the best token does: the larger value, of equal ones the lower index. NaN is largest.
TKM_DEVICE u64 best_key(float value, u32 index) {
  u32 bits = __float_as_uint(value + 0.0f);  // -0 is 0.
  u32 ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  if (value != value) ordered = 0xffffffffu;
  return (u64{ordered} << 32) | (0xffffffffu - index);
}
TKM_DEVICE i32 index_of_key(u64 key) {
  return static_cast<i32>(0xffffffffu - static_cast<u32>(key));
}

/// A weight in [0, 1] in units of 2^-44, whose sums do not depend on their order.
TKM_DEVICE u64 weight_units(float weight) {
  return __float2ull_rz(weight * 0x1p44f);
}

TKM_DEVICE u64 warp_sum(u64 x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
/// Over the lanes up to this one.
TKM_DEVICE u64 warp_sum_up_to(u64 x) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    u64 other = __shfl_up_sync(0xffffffffu, x, step);
    if (lane_id() >= step) x += other;
  }
  return x;
}
/// Of all threads, to all threads; `scratch` holds kRowWarps.
TKM_DEVICE u64 block_total(u64 x, u64* scratch) {
  x = warp_sum(x);
  __syncthreads();
  if (lane_id() == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  return warp_sum(lane_id() < kRowWarps ? scratch[lane_id()] : u64{0});
}
/// Sum over the threads before this one.
TKM_DEVICE u64 sum_before(u64 x, u64* scratch) {
  u64 up_to = warp_sum_up_to(x);
  __syncthreads();
  if (lane_id() == 31) scratch[threadIdx.x / 32] = up_to;
  __syncthreads();
  u64 before = 0;
#pragma unroll 1
  for (u32 w = 0; w < threadIdx.x / 32; ++w) before += scratch[w];
  return before + up_to - x;
}

/// Calls each(value, index) for elements [begin, end) with the given lanes, WIDTH at once.
template <int WIDTH, typename Each>
TKM_DEVICE void for_elements(
    const float* values, int begin, int end, int lane, int lanes, const Each& each) {
#pragma unroll 4
  for (int i = begin + lane * WIDTH; i < end; i += lanes * WIDTH) {
    float run[WIDTH];
    load_floats<WIDTH>(values + i, run);
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) each(run[j], i + j);
  }
}
/// Of a whole row, by all threads.
template <int WIDTH, typename Each>
TKM_DEVICE void for_row(const float* values, int columns, const Each& each) {
  for_elements<WIDTH>(values, 0, columns, static_cast<int>(threadIdx.x), kRowThreads, each);
}

struct RowMax {
  float own;    // Of this thread's elements.
  float all;    // Of the row.
  bool usable;  // No NaN, no +infinity, something finite.
};
/// `scratch` holds kRowWarps and is free again when this returns.
template <int WIDTH>
TKM_DEVICE RowMax row_max(const float* values, int columns, float* scratch) {
  RowMax out{-kInfinity, 0, false};
  bool bad = false;
  for_row<WIDTH>(values, columns, [&](float value, int) {
    bad |= !(value < kInfinity);
    out.own = fmaxf(out.own, value);
  });
  float max = warp_max(out.own);
  if (lane_id() == 0) scratch[threadIdx.x / 32] = max;
  bad = __syncthreads_or(bad);
  out.all = warp_max(scratch[lane_id() % kRowWarps]);
  __syncthreads();
  out.usable = !bad && out.all > -kInfinity;
  return out;
}

/// A finite bound that the k best of a row reach, k <= kRowThreads, and mostly few others: k
/// threads hold a value of at least the k-th largest of their maxima. `maxima` holds kRowThreads.
TKM_DEVICE float bound_of_best(int k, float own_max, float* maxima, float* found) {
  int thread = static_cast<int>(threadIdx.x);
  maxima[thread] = own_max;
  __syncthreads();
  int rank = 0;
#pragma unroll 4
  for (int i = 0; i < kRowThreads; ++i) {
    float other = maxima[i];
    rank += other > own_max || (other == own_max && i < thread);
  }
  if (rank == k - 1) *found = own_max;
  __syncthreads();
  return fmaxf(*found, -3.402823466e38f);
}

}  // namespace tkm
