// SPDX-License-Identifier: Apache-2.0
// rope: rotates heads by their token's position, after an RMS norm of each head (norm), and appends
// k and v to the cache (append): x is then qkv [T, heads + 2 kv_heads, head_dim], y the queries.
// A warp takes a head.
// Grid: x = rows, y = heads in blocks of kRopeWarps warps. Padded rows write their queries only.
#pragma once

#include "rope/rotate.cuh"
#include "tile/batch.cuh"

namespace tkm {

constexpr int kRopeWarps = 4;

template <RopeConfig C, typename X, typename W, typename Kv>
__global__ void __launch_bounds__(kRopeWarps * 32) rope(const X* x,
                                                        const i32* positions,
                                                        const W* q_norm,
                                                        const W* k_norm,
                                                        X* y,
                                                        const __grid_constant__ RopeParams params,
                                                        Batch batch,
                                                        Cache cache) {
  constexpr int kHeads = C.heads + (C.append ? 2 * C.kv_heads : 0);
  __shared__ int scratch;
  start_successors();
  wait_for_predecessors();
  int row = static_cast<int>(blockIdx.x);
  int head = static_cast<int>(blockIdx.y) * kRopeWarps + warp_id();
  int sequence = 0;
  if constexpr (C.append) sequence = sequence_of_row<kRopeWarps * 32>(batch, row, &scratch);
  if (head >= kHeads) return;
  bool key = C.append && head >= C.heads && head < C.heads + C.kv_heads;
  bool value = C.append && head >= C.heads + C.kv_heads;

  Head<C> values;
  values.load(x + (static_cast<i64>(row) * kHeads + head) * C.head_dim);
  if (!value) {
    if constexpr (C.norm) values.norm(key ? k_norm : q_norm, params.eps);
    if constexpr (C.rotary_dim > 0) values.rotate(turns_at<C>(positions[row], params));
  }
  if (!key && !value) {
    values.store(y + (static_cast<i64>(row) * C.heads + head) * C.head_dim);
  } else if (sequence >= 0) {
    int position = batch.contexts[sequence] + row - batch.first_rows[sequence];
    i64 page =
        batch.page_table[static_cast<i64>(sequence) * batch.max_pages + position / kPageTokens];
    int kv_head = head - C.heads - (value ? C.kv_heads : 0);
    i64 slot =
        (static_cast<i64>(value ? C.kv_heads : 0) + kv_head) * kPageTokens + position % kPageTokens;
    values.store(reinterpret_cast<Kv*>(cache.data + page * cache.page_bytes) + slot * C.head_dim);
  }
}

}  // namespace tkm
