// SPDX-License-Identifier: Apache-2.0
// attend_wgmma (sm_90a): attend_tile's work on Hopper's warpgroup products. A tile is 64 packed
// rows a warpgroup of one sequence and key/value head. One warp copies the keys and values that the
// tile sees, a block of 64 or 128 tokens at a time, with a tensor map (128-byte swizzle) into two
// rings; it runs ahead into the next tile. Each other warpgroup scores a block while it turns the
// scores of the one before into weights and adds the values that they weigh; weights stay in
// registers, which are operand A of that product. Shah et al., arXiv:2407.08608.
//
// Slots past a tile's last position may hold anything: their scores are masked, and since 0 * NaN
// is NaN, their values are overwritten with zeros in shared memory by each warpgroup for itself.
//
// Grid: x = blocks, any number; they take tiles in turn, those that see most first, in alternating
// direction, so that all end at about the same time. (warps - 4) / 4 = 2 or 3 warpgroups multiply;
// warpgroup 0 copies. Shared memory (1 KiB-aligned): WgmmaAttendShared. Barriers: full has one
// arrival and the block's bytes, empty an arrival of every multiplying warp. Warpgroups may see
// different blocks of a tile and pass over the others; a warp passes over a block alone, and gives
// it back itself once it has seen it full: the warps of a group meet only at products, and one that
// was late for a block which its leader gave back for it would wait for ever.
// Limits: head_dim 64, 128, 256; scale above 0.
#pragma once

#include "attention/flash.cuh"
#include "tile/wgmma.cuh"

namespace tkm {

struct WgmmaAttendConfig {
  AttendConfig attend;  ///< `stages` of blocks.
  int tokens;           ///< Of a block: 64 or 128.
  bool turns;           ///< The two warpgroups take turns to issue products.
  TKM_DEVICE constexpr int groups() const { return attend.warps / 4 - 1; }
  TKM_DEVICE constexpr int rows() const { return groups() * 64; }
  TKM_DEVICE constexpr int pages() const { return tokens / kPageTokens; }
  /// 64 columns of a block.
  TKM_DEVICE constexpr int column_bytes() const { return tokens * 128; }
  TKM_DEVICE constexpr int block_bytes() const { return tokens * attend.head_dim * 2; }
};

/// Each operand is blocks of 64 columns, one after the other.
template <WgmmaAttendConfig C>
struct WgmmaAttendShared {
  u8 queries[C.groups()][64 * C.attend.head_dim * 2];
  u8 keys[C.attend.stages][C.block_bytes()];
  u8 values[C.attend.stages][C.block_bytes()];
  Barrier keys_full[C.attend.stages], keys_empty[C.attend.stages];
  Barrier values_full[C.attend.stages], values_empty[C.attend.stages];
};

/// Packed rows [first, last] of a sequence, and the pages that they see.
struct AttendTile {
  int sequence, kv_head;
  int first_row, context;  ///< Of the sequence, in the batch and in the cache.
  int first, last;
  int begin_page, end_page;
};

/// The tiles of this thread block, in order. Every warp goes through them by itself.
template <WgmmaAttendConfig C>
struct AttendWork {
  const Batch& batch;
  const AttendParams& params;
  int tiles;  ///< Of a key/value head, at least.
  int round = 0;

  TKM_DEVICE bool take(AttendTile& tile) {
    constexpr int kRows = C.rows(), G = C.attend.group(), H = C.attend.kv_heads;
    int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    for (; round * blocks < tiles * H; ++round) {
      int index = round * blocks + (round % 2 ? blocks - 1 - block : block), number;
      if (index >= tiles * H ||
          !find_tile<kRows, G>(batch, tiles - 1 - index / H, tile.sequence, number))
        continue;
      tile.kv_head = index % H;
      tile.first_row = batch.first_rows[tile.sequence];
      tile.context = batch.contexts[tile.sequence];
      int rows = (batch.first_rows[tile.sequence + 1] - tile.first_row) * G;
      tile.first = number * kRows;
      tile.last = imin(tile.first + kRows, rows) - 1;
      tile.begin_page =
          first_visible<C.attend>(tile.context + tile.first / G, params) / kPageTokens;
      tile.end_page = (tile.context + tile.last / G) / kPageTokens + 1;
      ++round;
      return true;
    }
    return false;
  }
};

/// Copies all blocks of all tiles, by one warp.
template <WgmmaAttendConfig C>
TKM_DEVICE void copy_blocks(WgmmaAttendShared<C>& shared,
                            const TensorMap* map,
                            AttendWork<C> work) {
  constexpr int D = C.attend.head_dim, H = C.attend.kv_heads;
  u64 policy = evict_last_policy();
  RingCursor<C.attend.stages> cursor(1);
  AttendTile tile;
  while (work.take(tile)) {
    const i32* table =
        work.batch.page_table + static_cast<i64>(tile.sequence) * work.batch.max_pages;
    int ids = 0;  // Of 32 pages, one a lane.
    for (int page = tile.begin_page; page < tile.end_page; page += C.pages()) {
      int offset = (page - tile.begin_page) % 32, count = imin(C.pages(), tile.end_page - page);
      if (offset == 0) ids = table[imin(page + lane_id(), tile.end_page - 1)];
      int id[C.pages()];
#pragma unroll
      for (int p = 0; p < C.pages(); ++p) id[p] = __shfl_sync(0xffffffffu, ids, offset + p);
      if (lane_id() == 0) {
        auto load = [&](u8* to, Barrier& full, int first_row) {
          full.arrive_and_expect(static_cast<u32>(count * kPageTokens * D * 2));
#pragma unroll
          for (int p = 0; p < C.pages(); ++p) {
            if (p >= count) break;
#pragma unroll
            for (int c = 0; c < D / 64; ++c) {
              u8* box = to + c * C.column_bytes() + p * kPageTokens * 128;
              tensor_load(box, map, c * 64, first_row, id[p], &full, policy);
            }
          }
        };
        shared.keys_empty[cursor.slot].wait(cursor.parity);
        load(shared.keys[cursor.slot], shared.keys_full[cursor.slot], tile.kv_head * kPageTokens);
        shared.values_empty[cursor.slot].wait(cursor.parity);
        load(shared.values[cursor.slot],
             shared.values_full[cursor.slot],
             (H + tile.kv_head) * kPageTokens);
      }
      __syncwarp();
      cursor.advance();
    }
  }
}

/// Starts copying the 64 rows of queries of a warpgroup; rows past the last repeat it.
template <WgmmaAttendConfig C>
TKM_DEVICE void fetch_queries(u8* to, const bf16* q, const AttendTile& tile, int group) {
  constexpr int D = C.attend.head_dim, G = C.attend.group(), kPieces = D / 8;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x) % 128; i < 64 * kPieces; i += 128) {
    int row = i / kPieces, piece = i % kPieces;
    int packed = imin(tile.first + group * 64 + row, tile.last);
    i64 at = static_cast<i64>(tile.first_row + packed / G) * C.attend.heads + tile.kv_head * G +
             packed % G;
    copy_16(to + piece / 8 * (64 * 128) + swizzled(row, piece % 8), q + at * D + piece * 8, 16);
  }
  commit_copies();
}

/// Zeros to the values of tokens [first, tokens) of a block, by a warpgroup.
template <WgmmaAttendConfig C>
TKM_DEVICE void clear_values(u8* values, int first, int barrier) {
  int pieces = (C.tokens - first) * 8;
#pragma unroll 1
  for (int c = 0; c < C.attend.head_dim / 64; ++c) {
    uint4* to = reinterpret_cast<uint4*>(values + c * C.column_bytes() + first * 128);
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x) % 128; i < pieces; i += 128)
      to[i] = make_uint4(0, 0, 0, 0);
  }
  fence_async();
  sync_threads(barrier, 128);
}

/// What a lane's rows g and g + 8 see of the current block: columns [begin, end), counted from the
/// lane's first one.
struct SeenColumns {
  bool masked;
  int begin[2], end[2];
};

/// The running softmax of a lane's two rows.
struct RowSums {
  float largest[2] = {-kInfinity, -kInfinity};
  float total[2] = {};  ///< This lane's part.
};

/// Scores to weights; `factor` rescales what was summed before.
template <WgmmaAttendConfig C>
TKM_DEVICE void weigh(float (&scores)[C.tokens / 2],
                      RowSums& sums,
                      float (&factor)[2],
                      const AttendParams& params,
                      const SeenColumns& seen) {
  constexpr int N = C.tokens / 2;
  float scale = params.scale * kLog2e;
  if constexpr (C.attend.softcap) {
    scale = 1.0f;
#pragma unroll
    for (int i = 0; i < N; ++i) scores[i] = score_exponent<C.attend>(scores[i], params);
  }
  if (seen.masked) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      int column = i / 4 * 8 + i % 2, r = i / 2 % 2;
      bool visible = column < seen.end[r] && (!C.attend.window || column >= seen.begin[r]);
      scores[i] = visible ? scores[i] : -kInfinity;
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = sums.largest[r];
#pragma unroll
    for (int i = 2 * r; i < N; i += 4) largest = fmaxf(largest, fmaxf(scores[i], scores[i + 1]));
    largest = warp_max<4>(largest);
    float base = largest == -kInfinity ? 0.0f : largest * scale;
    factor[r] = exponential(sums.largest[r] * scale - base);
    sums.largest[r] = largest;
    float total = 0;
#pragma unroll
    for (int i = 2 * r; i < N; i += 4) {
#pragma unroll
      for (int c = i; c < i + 2; ++c) {
        scores[c] = exponential(__fmaf_rn(scores[c], scale, -base));
        total += scores[c];
      }
    }
    sums.total[r] = sums.total[r] * factor[r] + total;
  }
}

/// Multiplies all tiles, by the warpgroup 1 + group.
template <WgmmaAttendConfig C>
TKM_DEVICE void attend_blocks(
    WgmmaAttendShared<C>& shared, const bf16* q, bf16* y, AttendWork<C> work, int group) {
  constexpr int D = C.attend.head_dim, G = C.attend.group(), N = C.tokens;
  int warp = warp_id() % 4, g = lane_id() / 4, i = lane_id() % 4, barrier = 1 + group;
  u8* queries = shared.queries[group];
  RingCursor<C.attend.stages> keys(0), values(0);
  auto free_keys = [&] {
    __syncwarp();
    if (lane_id() == 0) shared.keys_empty[keys.slot].arrive();
    keys.advance();
  };
  auto free_values = [&] {
    __syncwarp();
    if (lane_id() == 0) shared.values_empty[values.slot].arrive();
    values.advance();
  };
  auto skip = [&](int blocks) {
    for (int b = 0; b < blocks; ++b) {
      shared.keys_full[keys.slot].wait(keys.parity);
      free_keys();
      shared.values_full[values.slot].wait(values.parity);
      free_values();
    }
  };
  // Two warpgroups that take turns: barrier 4 + group opens when the other has issued its products.
  auto take_turn = [&] {
    if constexpr (C.turns) sync_threads(4 + group, 256);
  };
  auto pass_turn = [&] {
    if constexpr (C.turns) arrive_threads(4 + (1 - group), 256);
  };
  if (group == 1) pass_turn();

  AttendTile tile;
  bool more = work.take(tile);
  if (more) fetch_queries<C>(queries, q, tile, group);
  while (more) {
    // The blocks that this warpgroup's rows see, counted from the tile's first.
    int first = tile.first + group * 64, last = imin(first + 63, tile.last);
    int first_token = tile.begin_page * kPageTokens;
    int num_blocks = (tile.end_page - tile.begin_page + C.pages() - 1) / C.pages();
    int begin = 0, end = num_blocks;
    if (!C.turns) {
      end = first > last ? 0 : (tile.context + last / G - first_token) / N + 1;
      begin = imin(
          end, (first_visible<C.attend>(tile.context + first / G, work.params) - first_token) / N);
    }
    int rows[2], positions[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      rows[r] = first + warp * 16 + g + 8 * r;
      positions[r] = tile.context + rows[r] / G;
    }
    int lowest = tile.context + (first + warp * 16) / G;
    int highest = tile.context + (first + warp * 16 + 15) / G;
    auto seen_of = [&](int block) {
      int token = first_token + block * N;
      SeenColumns seen;
      seen.masked = token + N > lowest + 1 ||
                    (C.attend.window && token < first_visible<C.attend>(highest, work.params));
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        seen.end[r] = positions[r] + 1 - token - 2 * i;
        seen.begin[r] = first_visible<C.attend>(positions[r], work.params) - token - 2 * i;
      }
      return seen;
    };
    auto issue_scores = [&](float(&scores)[N / 2]) {
      u64 a = operand_descriptor(queries), b = operand_descriptor(shared.keys[keys.slot]);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < D / 16; ++k) {
        u64 ak = a + k / 4 * (64 * 128 >> 4) + k % 4 * kNextColumns;
        u64 bk = b + k / 4 * (C.column_bytes() >> 4) + k % 4 * kNextColumns;
        if (k == 0)
          wgmma<N, false>(scores, ak, bk);
        else
          wgmma<N>(scores, ak, bk);
      }
      wgmma_commit();
    };
    u32 weights[N / 16][4];
    auto pack = [&](const float(&scores)[N / 2]) {
#pragma unroll
      for (int k = 0; k < N / 4; ++k)
        weights[k / 4][k % 4] = pack_bf16(scores[2 * k], scores[2 * k + 1]);
    };
    float out[D / 2];
#pragma unroll
    for (int d = 0; d < D / 2; ++d) out[d] = 0;
    auto issue_values = [&] {
      u64 b = row_operand_descriptor(shared.values[values.slot], C.column_bytes());
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < N / 16; ++k) wgmma_rows<D>(out, weights[k], b + k * kNextRows);
      wgmma_commit();
    };

    RowSums sums;
    skip(begin);
    wait_for_copies<0>();
    fence_async();
    sync_threads(barrier, 128);
    if (begin < end) {
      float factor[2];
      shared.keys_full[keys.slot].wait(keys.parity);
      {
        float scores[N / 2];
        issue_scores(scores);
        wgmma_wait<0>();
        hold(scores);
        free_keys();
        weigh<C>(scores, sums, factor, work.params, seen_of(begin));
        pack(scores);
      }
#pragma unroll 1
      for (int block = begin + 1; block < end; ++block) {
        float scores[N / 2];
        shared.keys_full[keys.slot].wait(keys.parity);
        take_turn();
        issue_scores(scores);
        shared.values_full[values.slot].wait(values.parity);
        issue_values();
        pass_turn();
        wgmma_wait<1>();
        hold(scores);
        free_keys();
        weigh<C>(scores, sums, factor, work.params, seen_of(block));
        complete(sums.total[0] + sums.total[1], queries);
        wgmma_wait<0>();
        hold(out);
        free_values();
#pragma unroll
        for (int d = 0; d < D / 2; ++d) out[d] *= factor[d / 2 % 2];
        pack(scores);
      }
      shared.values_full[values.slot].wait(values.parity);
      int valid = tile.context + tile.last / G + 1 - first_token - (end - 1) * N;
      if (valid < N) clear_values<C>(shared.values[values.slot], valid, barrier);
      issue_values();
    }
    // The next tile's queries come while this one ends: all scores are there.
    int first_row = tile.first_row, kv_head = tile.kv_head, tile_last = tile.last;
    sync_threads(barrier, 128);
    more = work.take(tile);
    if (more) fetch_queries<C>(queries, q, tile, group);
    wgmma_wait<0>();
    hold(out);
    if (begin < end) free_values();
    skip(num_blocks - end);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float factor = __fdividef(1.0f, warp_sum<4>(sums.total[r]));
      if (rows[r] > tile_last) continue;
      i64 at =
          static_cast<i64>(first_row + rows[r] / G) * C.attend.heads + kv_head * G + rows[r] % G;
      u32* to = reinterpret_cast<u32*>(y + at * D) + i;
#pragma unroll
      for (int d = 0; d < D / 8; ++d)
        to[d * 4] = pack_bf16(out[4 * d + 2 * r] * factor, out[4 * d + 2 * r + 1] * factor);
    }
  }
  if (group == 0) take_turn();  // The last one, which nobody else takes.
}

template <WgmmaAttendConfig C>
__global__ void __launch_bounds__(C.attend.warps * 32, 1)
    attend_wgmma(const bf16* q,
                 bf16* y,
                 AttendParams params,
                 Batch batch,
                 const __grid_constant__ TensorMap cache,
                 int tiles) {
  static_assert(!C.turns || C.groups() == 2);
  extern __shared__ __align__(1024) u8 memory[];
  auto& shared = *reinterpret_cast<WgmmaAttendShared<C>*>(memory);
  if (threadIdx.x == 0) {
    prefetch_tensor_map(&cache);
    for (int s = 0; s < C.attend.stages; ++s) {
      shared.keys_full[s].init(1);
      shared.values_full[s].init(1);
      shared.keys_empty[s].init(C.groups() * 4);
      shared.values_empty[s].init(C.groups() * 4);
    }
    publish_barriers();
  }
  __syncthreads();
  start_successors();
  wait_for_predecessors();
  AttendWork<C> work{batch, params, tiles};
  int group = warp_id() / 4;
  if (group == 0) {
    give_registers<C.groups() == 2 ? 24 : 32>();
    if (warp_id() == 0) copy_blocks<C>(shared, &cache, work);
  } else {
    take_registers<C.groups() == 2 ? 240 : 160>();
    attend_blocks<C>(shared, q, y, work, group - 1);
  }
}

}  // namespace tkm
