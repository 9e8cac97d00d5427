// SPDX-License-Identifier: Apache-2.0
// attend_tile: sequences with several rows in this step (prompts), bf16. A block takes 16 packed
// rows a warp of one sequence and key/value head and goes through the pages that they see, the next
// page on its way while this one is used. Sequences with one row are left to attend_split.
//
// Grid: x = tiles (any number from their sum on; the last ones first, since they see most),
// y = kv_heads; 32 threads a warp.
// Shared memory: stages x page (keys, values), and the queries where head_dim is over 128.
// Limits: head_dim a multiple of 16 up to 256.
#pragma once

#include "attention/flash.cuh"

namespace tkm {

template <AttendConfig C>
__global__ void __launch_bounds__(C.warps * 32, 1)
    attend_tile(const bf16* q, bf16* y, AttendParams params, Batch batch, Cache cache) {
  constexpr int kRows = C.warps * 16, D = C.head_dim, G = C.group();
  // What fits the registers: queries stay there, a page is scored at once; or neither.
  constexpr bool kQueriesShared = D > 128;
  constexpr int kTokens = D > 128 ? 32 : kPageTokens;
  extern __shared__ __align__(128) u8 memory[];
  start_successors();
  wait_for_predecessors();
  int sequence, tile, index = static_cast<int>(gridDim.x - 1 - blockIdx.x);
  if (!find_tile<kRows, G>(batch, index, sequence, tile)) return;
  int kv_head = static_cast<int>(blockIdx.y), warp = warp_id(), g = lane_id() / 4;
  int first_row = batch.first_rows[sequence], context = batch.contexts[sequence];
  int num_rows = (batch.first_rows[sequence + 1] - first_row) * G;

  // Packed rows and positions of the tile, of this warp, of this lane's two rows.
  int first = tile * kRows, last = imin(first + kRows, num_rows) - 1;
  int warp_first = first + warp * 16, warp_last = imin(warp_first + 15, last);
  int rows[2] = {warp_first + g, warp_first + g + 8};
  int positions[2] = {context + rows[0] / G, context + rows[1] / G};
  int begin_page = first_visible<C>(context + first / G, params) / kPageTokens;
  int end_page = (context + last / G) / kPageTokens + 1;
  int lowest = context + warp_first / G, highest = context + warp_last / G;

  const i32* table = batch.page_table + static_cast<i64>(sequence) * batch.max_pages;
  auto fetch = [&](int page) {
    if (page < end_page) {
      load_page<C>(memory + (page - begin_page) % C.stages * C.page_bytes(),
                   cache,
                   table[page],
                   page,
                   kv_head,
                   context + last / G + 1);
    }
    commit_copies();
  };
#pragma unroll
  for (int s = 0; s < C.stages - 1; ++s) fetch(begin_page + s);
  auto address = [&](int row) {
    return (static_cast<i64>(first_row + row / G) * C.heads + kv_head * G + row % G) * D;
  };
  u32 queries[D / 16][4];
  load_queries<C>(queries, [&](int r) { return rows[r] <= last ? q + address(rows[r]) : nullptr; });
  // Operand A as 16 bytes a lane, a block of 16 columns after the other.
  uint4* kept = reinterpret_cast<uint4*>(memory + C.stages * C.page_bytes()) +
                warp * (D / 16) * 32 + lane_id();
  if constexpr (kQueriesShared) {
#pragma unroll
    for (int k = 0; k < D / 16; ++k)
      kept[k * 32] = make_uint4(queries[k][0], queries[k][1], queries[k][2], queries[k][3]);
  }
  FlashState<C> state;
  for (int page = begin_page; page < end_page; ++page) {
    wait_for_copies<C.stages - 2>();
    __syncthreads();
    fetch(page + C.stages - 1);
    int first_token = page * kPageTokens;
    if (first_token > highest || first_token + kPageTokens <= first_visible<C>(lowest, params))
      continue;
    bool masked =
        first_token + kPageTokens > lowest + 1 || first_token < first_visible<C>(highest, params);
#pragma unroll 1
    for (int half = 0; half < kPageTokens; half += kTokens, first_token += kTokens) {
      const u8* keys = memory + (page - begin_page) % C.stages * C.page_bytes() + half * C.pitch();
      Scores<C, kTokens> scores;
      multiply_keys<C>(scores, keys, [&](int k, u32(&a)[4]) {
        uint4 all = kQueriesShared
                        ? kept[k * 32]
                        : make_uint4(queries[k][0], queries[k][1], queries[k][2], queries[k][3]);
        a[0] = all.x, a[1] = all.y, a[2] = all.z, a[3] = all.w;
      });
      add_values<C>(
          state, scores, keys + kPageTokens * C.pitch(), params, masked, [&](int r, int token) {
            return first_token + token <= positions[r] &&
                   first_token + token >= first_visible<C>(positions[r], params);
          });
    }
  }
  wait_for_copies<0>();
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float factor = 1.0f / warp_sum<4>(state.total[r]);
    if (rows[r] > last) continue;
    u32* to = reinterpret_cast<u32*>(y + address(rows[r])) + lane_id() % 4;
#pragma unroll
    for (int d = 0; d < D / 8; ++d)
      to[d * 4] = pack_bf16(state.out[d][2 * r] * factor, state.out[d][2 * r + 1] * factor);
  }
}

}  // namespace tkm
