// SPDX-License-Identifier: Apache-2.0
// rope_attend (sm_90): a decode step's attention from the merged projections on. Each sequence has
// one row; a block takes a run of the pages of one sequence and key/value head for up to 16 heads
// of its group, each of four warps 16 tokens of every page. The block with the newest page norms,
// rotates and appends the row's k and v, and takes them from there instead of from the cache.
//
// All but qkv was in memory before the step began, so that table, angles and the first pages are
// fetched while the predecessors still run.
//
// Blocks along x are clusters; those of a cluster hold neighbouring runs and write their sums into
// each other's shared memory, where each adds those of its share of the results. Only a long
// context uses more clusters: theirs meet in the workspace, where the last block to arrive adds
// them in order: the same bits every time.
//
// Grid: x = blocks of a cluster (1, 2, 4, 8), y = kv_heads * blocks of 16 heads, z = clusters x
// sequences, the first clusters of all sequences first; 128 threads. Padding (no row) computes
// nothing.
// Shared memory: stages x page (keys, values), then the warps' sums; queries (16 rows), the new key
// and value; what the cluster's blocks send.
// Workspace: [sequence][y][cluster] of group rows x head_dim sums, then as many pairs {largest,
// total}. Limits: head_dim a multiple of 16 up to 256; bf16.
#pragma once

#include "attention/flash.cuh"
#include "rope/rotate.cuh"
#include "tile/cluster.cuh"

namespace tkm {

/// Pages of a block before another cluster takes part.
constexpr int kClusterPages = 4;
constexpr int kMostBlocks = 8;  ///< Of a cluster.

template <AttendConfig C>
struct RopeAttendShared {
  static constexpr int kRows = imin(C.group(), 16);
  struct Sums {
    float out[C.warps][16][C.head_dim];
    float2 parts[C.warps][16];  ///< {largest, total}.
  };
  union {
    u8 pages[C.stages][C.page_bytes()];
    Sums sums;
  };
  u8 queries[16][C.pitch()];
  bf16 fresh[2][C.head_dim];  ///< Key and value of this row.
  float2 sent_parts[kMostBlocks][kRows];
  float sent_out[kRows * C.head_dim];  ///< Of each block, its share of the results.
  u32 arrived;
};

/// The pages [first, end) of this block, how many blocks share the sequence, and how many of them
/// are of this cluster; none if first == end. `most`: clusters that there are.
struct ClusterPages {
  int first, end, active, mine;
};
template <AttendConfig C>
TKM_DEVICE ClusterPages
cluster_pages(int position, int cluster, int most, const AttendParams& params) {
  int first = first_visible<C>(position, params) / kPageTokens,
      count = position / kPageTokens - first + 1, size = static_cast<int>(gridDim.x),
      block = cluster * size + static_cast<int>(blockIdx.x);
  int clusters = imin(most, (count + size * kClusterPages - 1) / (size * kClusterPages));
  int chunk = (count + clusters * size - 1) / (clusters * size),
      active = (count + chunk - 1) / chunk;
  int begin = imin(count, block * chunk), end = imin(count, begin + chunk);
  return {first + begin, first + end, active, imax(0, imin(size, active - cluster * size))};
}

/// Weighs `count` parts of one result; `part(p)` is {largest, total}, `out(p)` the sum.
template <int MOST, typename Part, typename Out>
TKM_DEVICE float merge(int count, const Part& part, const Out& out, float2& merged) {
  float2 parts[MOST];
  float outs[MOST];
#pragma unroll
  for (int p = 0; p < MOST; ++p) {
    parts[p] = p < count ? part(p) : make_float2(-kInfinity, 0);
    outs[p] = p < count ? out(p) : 0.0f;
  }
  float largest = -kInfinity, sum = 0, total = 0;
#pragma unroll
  for (int p = 0; p < MOST; ++p) largest = fmaxf(largest, parts[p].x);
#pragma unroll
  for (int p = 0; p < MOST; ++p) {
    float factor = parts[p].x == -kInfinity ? 0.0f : exp2f(parts[p].x - largest);
    total += factor * parts[p].y;
    sum += factor > 0 ? factor * outs[p] : 0.0f;
  }
  merged = make_float2(largest, total);
  return sum;
}

template <AttendConfig C, RopeConfig R, typename W>
__global__ void __launch_bounds__(C.warps * 32, 1)
    rope_attend(const bf16* qkv,
                const i32* positions,
                const W* q_norm,
                const W* k_norm,
                bf16* y,
                AttendParams params,
                const __grid_constant__ RopeParams rope,
                Batch batch,
                Cache cache,
                float* partials,
                u32* counters) {
  using Shared = RopeAttendShared<C>;
  constexpr int kThreads = C.warps * 32, kTokens = kPageTokens / C.warps, D = C.head_dim,
                kRows = Shared::kRows, kRowBlocks = (C.group() + 15) / 16, kValues = kRows * D;
  extern __shared__ __align__(128) u8 memory[];
  auto& shared = *reinterpret_cast<Shared*>(memory);
  start_successors();
  int sequence = static_cast<int>(blockIdx.z) % batch.num_sequences,
      cluster = static_cast<int>(blockIdx.z) / batch.num_sequences,
      most = static_cast<int>(gridDim.z) / batch.num_sequences;
  int warp = warp_id(), g = lane_id() / 4;
  int row = batch.first_rows[sequence];
  int context = batch.contexts[sequence];
  ClusterPages pages = cluster_pages<C>(context, cluster, most, params);
  if (batch.first_rows[sequence + 1] - row != 1 || pages.mine == 0 ||
      (pages.active == 1 && blockIdx.x > 0)) {
    if (cluster == 0) wait_for_predecessors();  // So that no end comes before theirs.
    return;
  }
  if (pages.active > 1) arrive_at_cluster();  // Others may write to this block's memory now.
  int kv_head = static_cast<int>(blockIdx.y) / kRowBlocks;
  int first_head = static_cast<int>(blockIdx.y) % kRowBlocks * 16;
  int heads = imin(kRows, C.group() - first_head);
  int newest = context / kPageTokens;
  bool appends = pages.first <= newest && newest < pages.end;

  const i32* table = batch.page_table + static_cast<i64>(sequence) * batch.max_pages;
  auto fetch = [&](int index) {
    if (index < pages.end) {
      load_page<C>(shared.pages[(index - pages.first) % C.stages],
                   cache,
                   table[index],
                   index,
                   kv_head,
                   context);
    }
    commit_copies();
  };
#pragma unroll
  for (int s = 0; s < C.stages; ++s) fetch(pages.first + s);
  Turns<R> turns = turns_at<R>(positions[row], rope);
  for (int at = static_cast<int>(threadIdx.x) * 4; at < 16 * C.pitch(); at += kThreads * 4)
    *reinterpret_cast<u32*>(&shared.queries[0][at]) = 0;
  __syncthreads();
  wait_for_predecessors();

  // The heads of the group, then k and v.
  const bf16* from = qkv + static_cast<i64>(row) * (C.heads + 2 * C.kv_heads) * D;
  for (int h = warp; h < heads + (appends ? 2 : 0); h += C.warps) {
    bool query = h<heads, value = h> heads;
    Head<R> head;
    head.load(from + (query   ? kv_head * C.group() + first_head + h
                      : value ? C.heads + C.kv_heads + kv_head
                              : C.heads + kv_head) *
                         D);
    if (!value) {
      if constexpr (R.norm) head.norm(query ? q_norm : k_norm, rope.eps);
      if constexpr (R.rotary_dim > 0) head.rotate(turns);
    }
    if (query) {
      head.store(reinterpret_cast<bf16*>(shared.queries[h]));
    } else {
      head.store(shared.fresh[value]);
      i64 slot = (static_cast<i64>(value ? C.kv_heads : 0) + kv_head) * kPageTokens +
                 context % kPageTokens;
      if (first_head == 0)
        head.store(reinterpret_cast<bf16*>(cache.data + table[newest] * cache.page_bytes) +
                   slot * D);
    }
  }
  __syncthreads();
  u32 query_row = shared_address(&shared.queries[lane_id() % 16][lane_id() / 16 * 16]);
  FlashState<C> state;
  int begin = first_visible<C>(context, params);
  for (int index = pages.first; index < pages.end; ++index) {
    u8* page = shared.pages[(index - pages.first) % C.stages];
    wait_for_copies<C.stages - 1>();
    __syncthreads();
    if (index == newest) {
      u8* slot = page + context % kPageTokens * C.pitch();
      for (int at = static_cast<int>(threadIdx.x); at < D; at += kThreads) {
        int value = at / (D / 2), pair = at % (D / 2);
        reinterpret_cast<u32*>(slot + value * kPageTokens * C.pitch())[pair] =
            reinterpret_cast<const u32*>(shared.fresh[value])[pair];
      }
      __syncthreads();
    }
    int first_token = index * kPageTokens + warp * kTokens;
    if (first_token <= context && first_token + kTokens > begin) {
      const u8* keys = page + warp * kTokens * C.pitch();
      Scores<C, kTokens> scores;
      multiply_keys<C>(scores, keys, [&](int k, u32(&a)[4]) {
        load_blocks(a, query_row + static_cast<u32>(k * 32));
      });
      bool masked = first_token + kTokens > context + 1 || first_token < begin;
      add_values<C>(
          state, scores, keys + kPageTokens * C.pitch(), params, masked, [&](int, int token) {
            return first_token + token <= context && first_token + token >= begin;
          });
    }
    if (index + C.stages < pages.end) __syncthreads();
    fetch(index + C.stages);
  }
  wait_for_copies<0>();
  __syncthreads();

  // The warps' sums become the block's.
  auto& sums = shared.sums;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float total = warp_sum<4>(state.total[r]);
    if (lane_id() % 4 == 0) sums.parts[warp][g + 8 * r] = make_float2(state.largest[r], total);
#pragma unroll
    for (int d = 0; d < D / 8; ++d) {
      *reinterpret_cast<float2*>(&sums.out[warp][g + 8 * r][d * 8 + lane_id() % 4 * 2]) =
          make_float2(state.out[d][2 * r], state.out[d][2 * r + 1]);
    }
  }
  __syncthreads();
  i64 to = (static_cast<i64>(row) * C.heads + kv_head * C.group() + first_head) * D;
  auto store = [&](int at, float sum, float total) {
    if (at / D < heads) y[to + at] = from_float<bf16>(sum / total);
  };
  int size = static_cast<int>(gridDim.x), share = kValues / size;
  if (pages.active > 1) wait_for_cluster();
  for (int at = static_cast<int>(threadIdx.x); at < kValues; at += kThreads) {
    int r = at / D, d = at % D;
    float2 merged;
    float sum = merge<C.warps>(
        C.warps,
        [&](int w) { return sums.parts[w][r]; },
        [&](int w) { return sums.out[w][r][d]; },
        merged);
    if (pages.active == 1) {
      store(at, sum, merged.y);
    } else {
      int owner = at / share, mine = static_cast<int>(blockIdx.x);
      store_remote(address_in(&shared.sent_out[mine * share + at % share], owner), sum);
      if (d == 0 || at % share == 0)
        store_remote(address_in(&shared.sent_parts[mine][r], owner), merged);
    }
  }
  if (pages.active == 1) return;

  // The blocks' sums become the cluster's.
  sync_cluster();
  int first = static_cast<int>(blockIdx.x) * share, clusters = (pages.active + size - 1) / size;
  i64 item = static_cast<i64>(sequence) * gridDim.y + blockIdx.y;
  float* parts = partials + item * most * kValues;
  auto* pairs =
      reinterpret_cast<float2*>(partials + static_cast<i64>(gridDim.z) * gridDim.y * kValues) +
      item * most * kRows;
  for (int at = first + static_cast<int>(threadIdx.x); at < first + share; at += kThreads) {
    int r = at / D, d = at % D;
    float2 merged;
    float sum = merge<kMostBlocks>(
        pages.mine,
        [&](int p) { return shared.sent_parts[p][r]; },
        [&](int p) { return shared.sent_out[p * share + at - first]; },
        merged);
    if (clusters == 1) {
      store(at, sum, merged.y);
    } else {
      __stcg(&parts[cluster * kValues + at], sum);
      if (d == 0) __stcg(&pairs[cluster * kRows + r], merged);
    }
  }
  if (clusters == 1) return;

  __threadfence();
  __syncthreads();
  u32 others = static_cast<u32>(clusters * size - 1);
  if (threadIdx.x == 0) shared.arrived = count_up(&counters[item], others);
  __syncthreads();
  if (shared.arrived != others) return;
  __threadfence();
  for (int at = static_cast<int>(threadIdx.x); at < kValues; at += kThreads) {
    float2 merged;
    float sum = merge<8>(
        clusters,
        [&](int c) { return __ldcg(&pairs[c * kRows + at / D]); },
        [&](int c) { return __ldcg(&parts[c * kValues + at]); },
        merged);
    store(at, sum, merged.y);
  }
}

}  // namespace tkm
