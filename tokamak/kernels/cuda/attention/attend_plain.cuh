// SPDX-License-Identifier: Apache-2.0
// attend_plain: any types, any head_dim. For what the tensor-core kernels do not take. A warp takes
// one head of one row and goes through the visible positions 32 at a time: a lane scores one of
// them, then the lanes share out the columns of the values.
// Grid: x = rows, y = heads in blocks of 4 warps. Padded rows return.
#pragma once

#include "attention/flash.cuh"

namespace tkm {

template <AttendConfig C, typename X, typename Kv>
__global__ void __launch_bounds__(128)
    attend_plain(const X* q, X* y, AttendParams params, Batch batch, Cache cache) {
  constexpr int D = C.head_dim, kColumns = (D + 31) / 32;
  __shared__ float queries[4][D];
  __shared__ int scratch;
  start_successors();
  wait_for_predecessors();
  int row = static_cast<int>(blockIdx.x), warp = warp_id(), lane = lane_id();
  int head = static_cast<int>(blockIdx.y) * 4 + warp;
  int sequence = sequence_of_row<128>(batch, row, &scratch);
  if (sequence < 0 || head >= C.heads) return;
  i64 at = (static_cast<i64>(row) * C.heads + head) * D;
  for (int d = lane; d < D; d += 32) queries[warp][d] = to_float(q[at + d]);
  __syncwarp();
  int position = batch.contexts[sequence] + row - batch.first_rows[sequence];
  const i32* table = batch.page_table + static_cast<i64>(sequence) * batch.max_pages;
  int kv_head = head / C.group();
  auto slot = [&](int token, int value) {
    i64 index =
        (static_cast<i64>(value * C.kv_heads + kv_head)) * kPageTokens + token % kPageTokens;
    i64 page = table[token / kPageTokens];
    return reinterpret_cast<const Kv*>(cache.data + page * cache.page_bytes) + index * D;
  };
  float largest = -kInfinity, total = 0, out[kColumns] = {};
  for (int first = first_visible<C>(position, params); first <= position; first += 32) {
    float exponent = -kInfinity;
    if (first + lane <= position) {
      const Kv* key = slot(first + lane, 0);
      float product = 0;
#pragma unroll 8
      for (int d = 0; d < D; ++d) product += queries[warp][d] * to_float(key[d]);
      exponent = score_exponent<C>(product, params);
    }
    float before = largest;
    largest = fmaxf(largest, warp_max(exponent));
    float weight = exp2f(exponent - largest), factor = exp2f(before - largest);
    total = total * factor + weight;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) out[c] *= factor;
    for (int j = 0; j < imin(32, position + 1 - first); ++j) {
      const Kv* value = slot(first + j, 1);
      float w = __shfl_sync(0xffffffffu, weight, j);
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (c * 32 + lane < D) out[c] += w * to_float(value[c * 32 + lane]);
      }
    }
  }
  total = warp_sum(total);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    if (c * 32 + lane < D) y[at + c * 32 + lane] = from_float<X>(out[c] / total);
  }
}

}  // namespace tkm
