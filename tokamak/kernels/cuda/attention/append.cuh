// SPDX-License-Identifier: Apache-2.0
// append: writes k and v [T, kv_heads * head_dim] to the cache.
// Grid: a block of 128 threads a row.
#pragma once

#include "tile/async.cuh"
#include "tile/batch.cuh"

namespace tkm {

template <int KV_HEADS, int HEAD_DIM, typename X, typename Kv>
__global__ void __launch_bounds__(128) append(const X* k, const X* v, Batch batch, Cache cache) {
  __shared__ int scratch;
  start_successors();
  wait_for_predecessors();
  int row = static_cast<int>(blockIdx.x);
  int sequence = sequence_of_row<128>(batch, row, &scratch);
  if (sequence < 0) return;
  int position = batch.contexts[sequence] + row - batch.first_rows[sequence];
  i64 page =
      batch.page_table[static_cast<i64>(sequence) * batch.max_pages + position / kPageTokens];
  Kv* to = reinterpret_cast<Kv*>(cache.data + page * cache.page_bytes) +
           position % kPageTokens * HEAD_DIM;
  constexpr int kCount = KV_HEADS * HEAD_DIM;
  for (int i = static_cast<int>(threadIdx.x); i < kCount; i += 128) {
    i64 from = static_cast<i64>(row) * kCount + i;
    i64 at = static_cast<i64>(i / HEAD_DIM) * kPageTokens * HEAD_DIM + i % HEAD_DIM;
    to[at] = from_float<Kv>(to_float(k[from]));
    to[at + static_cast<i64>(kCount) * kPageTokens] = from_float<Kv>(to_float(v[from]));
  }
}

}  // namespace tkm
