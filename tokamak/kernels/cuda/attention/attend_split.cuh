// SPDX-License-Identifier: Apache-2.0
// attend_split: sequences with one row in this step (decoding), bf16. A block takes a run of the
// pages of one sequence and key/value head for up to 16 heads of its group; each of four warps
// takes 16 tokens of every page. The warps' results meet in shared memory, those of the blocks of
// a sequence in the workspace, where the last to arrive adds them in order: the same bits every
// time. Which pages a block takes follows from the context, not from the host.
//
// Grid: x = splits, y = kv_heads * blocks of 16 heads, z = sequences; 128 threads.
// Shared memory: stages x page (keys, values) and the queries where head_dim is over 128; then the
// warps' sums (4 x 16 x head_dim); then the parts of the blocks and their factors.
// Workspace: [z][y][split] of group rows x head_dim sums, then as many pairs {largest, total}.
// Limits: head_dim a multiple of 16 up to 256.
#pragma once

#include "attention/flash.cuh"

namespace tkm {

template <AttendConfig C>
struct SplitShape {
  static constexpr int kRows = imin(C.group(), 16), kRowBlocks = (C.group() + 15) / 16;
};

template <AttendConfig C>
struct SplitSums {
  float out[C.warps][16][C.head_dim];
  float largest[C.warps][16], total[C.warps][16];
};

/// The pages [first, end) of this block, and how many blocks share the sequence; none if first ==
/// end.
struct SplitPages {
  int first = 0, end = 0, active = 0;
};
template <AttendConfig C>
TKM_DEVICE SplitPages split_pages(int position, const AttendParams& params) {
  int first = first_visible<C>(position, params) / kPageTokens,
      count = position / kPageTokens - first + 1;
  int splits = static_cast<int>(gridDim.x), split = static_cast<int>(blockIdx.x);
  int chunk = (count + splits - 1) / splits, active = (count + chunk - 1) / chunk;
  if (split >= active) return {};
  return {first + split * chunk, first + imin(count, (split + 1) * chunk), active};
}

/// Adds `count` parts of row r, column d; `part(p)` is {largest, total}, `out(p)` the sum.
template <typename Part, typename Out>
TKM_DEVICE float combine(int count, const Part& part, const Out& out, float2& merged) {
  float largest = -kInfinity;
  for (int p = 0; p < count; ++p) largest = fmaxf(largest, part(p).x);
  float sum = 0, total = 0;
  for (int p = 0; p < count; ++p) {
    float2 values = part(p);
    float factor = values.x == -kInfinity ? 0.0f : exp2f(values.x - largest);
    total += factor * values.y;
    if (factor > 0) sum += factor * out(p);
  }
  merged = make_float2(largest, total);
  return sum;
}

template <AttendConfig C>
__global__ void __launch_bounds__(C.warps * 32, 1) attend_split(const bf16* q,
                                                                bf16* y,
                                                                AttendParams params,
                                                                Batch batch,
                                                                Cache cache,
                                                                float* partials,
                                                                u32* counters) {
  using Shape = SplitShape<C>;
  constexpr int kThreads = C.warps * 32, kTokens = kPageTokens / C.warps, D = C.head_dim;
  extern __shared__ __align__(128) u8 memory[];
  constexpr int kTablePages = kThreads;  // Of the table that are fetched with the context.
  __shared__ u32 arrived;
  __shared__ i32 first_pages[kTablePages];
  start_successors();
  wait_for_predecessors();
  int sequence = static_cast<int>(blockIdx.z), warp = warp_id(), g = lane_id() / 4;
  const i32* table = batch.page_table + static_cast<i64>(sequence) * batch.max_pages;
  if (static_cast<int>(threadIdx.x) < batch.max_pages)
    first_pages[threadIdx.x] = table[threadIdx.x];
  int row = batch.first_rows[sequence];
  if (batch.first_rows[sequence + 1] - row != 1) return;
  int position = batch.contexts[sequence];
  SplitPages pages = split_pages<C>(position, params);
  if (pages.active == 0) return;
  int kv_head = static_cast<int>(blockIdx.y) / Shape::kRowBlocks;
  int first_head = static_cast<int>(blockIdx.y) % Shape::kRowBlocks * 16;
  __syncthreads();
  auto fetch = [&](int index) {
    if (index < pages.end) {
      load_page<C>(memory + (index - pages.first) % C.stages * C.page_bytes(),
                   cache,
                   index < kTablePages ? first_pages[index] : table[index],
                   index,
                   kv_head,
                   position + 1);
    }
    commit_copies();
  };
#pragma unroll
  for (int s = 0; s < C.stages - 1; ++s) fetch(pages.first + s);
  constexpr bool kQueriesShared = D > 128;  // Else in registers.
  auto* kept = reinterpret_cast<uint4*>(memory + C.stages * C.page_bytes()) + lane_id();
  u32 queries[D / 16][4];
  i64 head = static_cast<i64>(row) * C.heads + kv_head * C.group() + first_head;
  load_queries<C>(queries, [&](int r) {
    return first_head + g + 8 * r < C.group() ? q + (head + g + 8 * r) * D : nullptr;
  });
  if constexpr (kQueriesShared) {
    if (warp == 0) {
#pragma unroll
      for (int k = 0; k < D / 16; ++k)
        kept[k * 32] = make_uint4(queries[k][0], queries[k][1], queries[k][2], queries[k][3]);
    }
  }
  FlashState<C> state;
  int begin = first_visible<C>(position, params);
  for (int index = pages.first; index < pages.end; ++index) {
    wait_for_copies<C.stages - 2>();
    __syncthreads();
    fetch(index + C.stages - 1);
    int first_token = index * kPageTokens + warp * kTokens;
    if (first_token > position || first_token + kTokens <= begin) continue;
    const u8* keys =
        memory + (index - pages.first) % C.stages * C.page_bytes() + warp * kTokens * C.pitch();
    Scores<C, kTokens> scores;
    multiply_keys<C>(scores, keys, [&](int k, u32(&a)[4]) {
      uint4 all = kQueriesShared
                      ? kept[k * 32]
                      : make_uint4(queries[k][0], queries[k][1], queries[k][2], queries[k][3]);
      a[0] = all.x, a[1] = all.y, a[2] = all.z, a[3] = all.w;
    });
    bool masked = first_token + kTokens > position + 1 || first_token < begin;
    add_values<C>(
        state, scores, keys + kPageTokens * C.pitch(), params, masked, [&](int, int token) {
          return first_token + token <= position && first_token + token >= begin;
        });
  }
  wait_for_copies<0>();
  __syncthreads();

  auto& sums = *reinterpret_cast<SplitSums<C>*>(memory);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float total = warp_sum<4>(state.total[r]);
    if (lane_id() % 4 == 0) {
      sums.largest[warp][g + 8 * r] = state.largest[r];
      sums.total[warp][g + 8 * r] = total;
    }
#pragma unroll
    for (int d = 0; d < D / 8; ++d) {
      *reinterpret_cast<float2*>(&sums.out[warp][g + 8 * r][d * 8 + lane_id() % 4 * 2]) =
          make_float2(state.out[d][2 * r], state.out[d][2 * r + 1]);
    }
  }
  __syncthreads();
  i64 item = static_cast<i64>(blockIdx.z) * gridDim.y + blockIdx.y;
  constexpr int kValues = Shape::kRows * D;
  float* parts = partials + item * gridDim.x * kValues;
  auto* pairs = reinterpret_cast<float2*>(partials + static_cast<i64>(gridDim.z) * gridDim.y *
                                                         gridDim.x * kValues) +
                item * gridDim.x * Shape::kRows;
  auto store = [&](int r, int d, float sum, float total) {
    if (first_head + r < C.group()) y[(head + r) * D + d] = from_float<bf16>(sum / total);
  };
  for (int at = static_cast<int>(threadIdx.x); at < kValues; at += kThreads) {
    int r = at / D, d = at % D;
    float2 merged;
    float sum = combine(
        C.warps,
        [&](int w) { return make_float2(sums.largest[w][r], sums.total[w][r]); },
        [&](int w) { return sums.out[w][r][d]; },
        merged);
    if (pages.active == 1) {
      store(r, d, sum, merged.y);
    } else {
      __stcg(&parts[blockIdx.x * kValues + at], sum);
      if (d == 0) __stcg(&pairs[blockIdx.x * Shape::kRows + r], merged);
    }
  }
  if (pages.active == 1) return;

  __threadfence();
  __syncthreads();
  u32 others = static_cast<u32>(pages.active - 1);
  if (threadIdx.x == 0) arrived = count_up(&counters[item], others);
  __syncthreads();
  if (arrived != others) return;
  __threadfence();
  // All parts and pairs at once into shared memory, as far as it goes; the factors meanwhile.
  int staged = imin(pages.active, C.stages * C.page_bytes() / (2 * kValues * 4));
  auto* staged_parts = reinterpret_cast<float*>(memory);
  for (int at = static_cast<int>(threadIdx.x) * 4; at < staged * kValues; at += kThreads * 4)
    copy_16(staged_parts + at, parts + at, 16);
  commit_copies();
  auto* factors = staged_parts + staged * kValues;  // [active][rows], then totals alike.
  int count = pages.active * Shape::kRows;
  for (int at = static_cast<int>(threadIdx.x); at < count; at += kThreads) {
    float2 pair = __ldcg(&pairs[at]);
    factors[at] = pair.x;
    factors[at + count] = pair.y;
  }
  __syncthreads();
  for (int r = warp; r < Shape::kRows; r += C.warps) {
    float largest = -kInfinity, total = 0;
    for (int p = lane_id(); p < pages.active; p += 32)
      largest = fmaxf(largest, factors[p * Shape::kRows + r]);
    largest = warp_max(largest);
    for (int p = lane_id(); p < pages.active; p += 32) {
      float factor = exp2f(factors[p * Shape::kRows + r] - largest);
      total += factor * factors[count + p * Shape::kRows + r];
      factors[p * Shape::kRows + r] = factor;
    }
    total = warp_sum(total);
    __syncwarp();
    for (int p = lane_id(); p < pages.active; p += 32) factors[p * Shape::kRows + r] /= total;
  }
  wait_for_copies<0>();
  __syncthreads();
  for (int at = static_cast<int>(threadIdx.x); at < kValues; at += kThreads) {
    float sum = 0;
#pragma unroll 4
    for (int p = 0; p < staged; ++p)
      sum += factors[p * Shape::kRows + at / D] * staged_parts[p * kValues + at];
#pragma unroll 4
    for (int p = staged; p < pages.active; ++p)
      sum += factors[p * Shape::kRows + at / D] * __ldcg(&parts[p * kValues + at]);
    store(at / D, at % D, sum, 1.0f);
  }
}

}  // namespace tkm
