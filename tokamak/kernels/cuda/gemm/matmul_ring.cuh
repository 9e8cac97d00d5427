// SPDX-License-Identifier: Apache-2.0
// matmul_ring: up to `tokens` <= 8 tokens, bf16, w [N, K] row-major: as fast as the weights stream.
//
// A block a multiprocessor stays for the whole kernel. One warp streams tiles of 16 weight rows (8
// of the gate and 8 of the up half if gated) through a ring of shared memory, in stages of `chunk`
// columns, and starts before the predecessors have ended. Eight warps multiply them by tensor cores
// with the tokens as the narrow side, each its columns of a stage, and keep those of x in registers
// (or read them from shared memory: x_shared). One warp adds the eight sums of a tile, finishes and
// stores it. With `slices` > 1 a block sees one slice of the depth only, leaves its sums in the
// workspace, and the last slice of a tile to arrive adds them in order: the same bits every time.
//
// Columns are multiplied in blocks of 32 in an order of their own, the same for both operands: lane
// 4 g + i holds columns 8 i .. 8 i + 7 of row g (and g + 8) of w and of token g of x, 16 bytes
// each.
//
// Shared memory: stages x 16 rows of chunk + 32 columns (the pitch puts the 8 rows of a read into
// different banks), x (a row of slice + 32 columns a token if x_shared), two sets of sums,
// barriers. Barriers: full/empty a stage (1 arrival + bytes / 8 warps), sums full/empty (8 warps /
// 1). Grid: x = blocks, a multiple of slices; 320 threads. Limits: 32 divides K and every slice;
// chunk is a multiple of 256; F % 8 == 0 if gated.
#pragma once

#include "gemm/epilogue.cuh"
#include "tile/mma.cuh"

namespace tkm {

constexpr int kRingWarps = 8, kRingThreads = (kRingWarps + 2) * 32;

struct RingConfig {
  MatMulProblem problem;
  int chunk;
  int stages;
  int slices;
  int tokens;  ///< At most; a power of two.
  bool x_shared;
  TKM_DEVICE constexpr int slice_depth() const {
    return static_cast<int>(ceil_div(problem.depth, 32 * slices)) * 32;
  }
  TKM_DEVICE constexpr int pitch() const { return chunk * 2 + 64; }
  TKM_DEVICE constexpr int x_pitch() const { return slice_depth() * 2 + 64; }
  TKM_DEVICE constexpr int tiles() const { return (problem.outputs + 15) / 16; }
  TKM_DEVICE constexpr int chunks() const { return (slice_depth() + chunk - 1) / chunk; }
  /// Blocks of 32 columns that a warp has in a stage, and in all.
  TKM_DEVICE constexpr int steps() const { return chunk / (32 * kRingWarps); }
};

template <RingConfig C>
struct RingShared {
  u8 ring[C.stages][16][C.pitch()];
  u8 x[C.x_shared ? C.tokens : 1][C.x_shared ? C.x_pitch() : 16];
  float4 sums[2][kRingWarps][32];
  Barrier full[C.stages], empty[C.stages], sums_full[2], sums_empty[2];
};

/// The block's share of the work: slice and tiles first, first + step, ...
template <RingConfig C>
struct RingWork {
  int slice = static_cast<int>(blockIdx.x) % C.slices;
  int first = static_cast<int>(blockIdx.x) / C.slices;
  int step = static_cast<int>(gridDim.x) / C.slices;
  int begin = slice * C.slice_depth();                         ///< First column.
  int depth = imin(C.slice_depth(), C.problem.depth - begin);  ///< Columns.
};

template <RingConfig C, typename Args>
TKM_DEVICE void ring_produce(RingShared<C>& shared, const Args& args) {
  constexpr MatMulProblem P = C.problem;
  RingWork<C> work;
  RingCursor<C.stages> cursor(1);
  u64 policy = evict_first_policy();
  int lane = lane_id();
  for (int tile = work.first; tile < C.tiles(); tile += work.step) {
    int row = tile * 16 + lane;
    bool valid = lane < 16 && row < P.outputs;
    if constexpr (P.gated) {
      row = tile * 8 + lane % 8;
      valid = lane < 16 && row < P.columns();
      row += lane < 8 ? 0 : P.columns();
    }
    int rows = __popc(__ballot_sync(0xffffffffu, valid));
    const auto* from = args.w + static_cast<i64>(row) * P.depth + work.begin;
    for (int c = 0; c < C.chunks(); ++c) {
      u32 bytes = static_cast<u32>(imin(C.chunk, work.depth - c * C.chunk)) * 2;
      shared.empty[cursor.slot].wait(cursor.parity);
      if (lane == 0) shared.full[cursor.slot].arrive_and_expect(bytes * static_cast<u32>(rows));
      __syncwarp();
      if (valid) {
        bulk_load(shared.ring[cursor.slot][lane],
                  from + c * C.chunk,
                  bytes,
                  &shared.full[cursor.slot],
                  policy);
      }
      cursor.advance();
    }
  }
}

/// 16 bytes a lane of the block of 32 columns at `column`, of the warp's token (zeros past the
/// last).
template <RingConfig C, typename Args>
TKM_DEVICE uint4 ring_x(const Args& args, const RingWork<C>& work, int column) {
  int token = lane_id() / 4;
  if (token >= imin(C.tokens, args.tokens) || column >= work.depth) return make_uint4(0, 0, 0, 0);
  const auto* x = args.x + static_cast<i64>(token) * C.problem.depth + work.begin + column;
  return *reinterpret_cast<const uint4*>(x + lane_id() % 4 * 8);
}

template <RingConfig C, typename Args>
TKM_DEVICE void ring_consume(RingShared<C>& shared, const Args& args, int warp) {
  RingWork<C> work;
  RingCursor<C.stages> cursor(0);
  RingCursor<2> sums_cursor(1);
  int g = lane_id() / 4, i = lane_id() % 4;
  constexpr int kSteps = C.steps(), kChunks = C.chunks();
  uint4 x[C.x_shared ? 1 : kChunks][kSteps];
  if constexpr (!C.x_shared) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
#pragma unroll
      for (int s = 0; s < kSteps; ++s)
        x[c][s] = ring_x<C>(args, work, c * C.chunk + (warp * kSteps + s) * 32);
    }
  } else {
    for (int column = warp * 32; column < C.slice_depth(); column += kRingWarps * 32) {
      uint4 run = ring_x<C>(args, work, column);
      if (g < C.tokens) *reinterpret_cast<uint4*>(&shared.x[g][column * 2 + i * 16]) = run;
    }
    sync_threads(1, kRingWarps * 32);
  }
  for (int tile = work.first; tile < C.tiles(); tile += work.step) {
    float sums[2][4] = {};
    auto stage = [&](int c) {
      shared.full[cursor.slot].wait(cursor.parity);
      const u8* rows = shared.ring[cursor.slot][g] + warp * kSteps * 64 + i * 16;
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        int column = c * C.chunk + (warp * kSteps + s) * 32;
        if (column >= work.depth) break;
        uint4 low = *reinterpret_cast<const uint4*>(rows + s * 64);
        uint4 high = *reinterpret_cast<const uint4*>(rows + 8 * C.pitch() + s * 64);
        uint4 b;
        if constexpr (C.x_shared)
          b = *reinterpret_cast<const uint4*>(&shared.x[g % C.tokens][column * 2 + i * 16]);
        else
          b = x[c][s];
        multiply_16x8x16(sums[0], {low.x, high.x, low.y, high.y}, b.x, b.y);
        multiply_16x8x16(sums[1], {low.z, high.z, low.w, high.w}, b.z, b.w);
      }
      __syncwarp();
      if (lane_id() == 0) shared.empty[cursor.slot].arrive();
      cursor.advance();
    };
    if constexpr (C.x_shared) {
      for (int c = 0; c < kChunks; ++c) stage(c);
    } else {
#pragma unroll
      for (int c = 0; c < kChunks; ++c) stage(c);
    }
    shared.sums_empty[sums_cursor.slot].wait(sums_cursor.parity);
    shared.sums[sums_cursor.slot][warp][lane_id()] = make_float4(sums[0][0] + sums[1][0],
                                                                 sums[0][1] + sums[1][1],
                                                                 sums[0][2] + sums[1][2],
                                                                 sums[0][3] + sums[1][3]);
    __syncwarp();
    if (lane_id() == 0) shared.sums_full[sums_cursor.slot].arrive();
    sums_cursor.advance();
  }
}

/// Adds the slices of a tile if this block's is the last to arrive, else returns false.
template <RingConfig C>
TKM_DEVICE bool ring_reduce(
    float (&sums)[4], const RingWork<C>& work, int tile, float4* partials, u32* counters) {
  float4* slots = partials + static_cast<i64>(tile) * C.slices * 32 + lane_id();
  __stcg(&slots[work.slice * 32], make_float4(sums[0], sums[1], sums[2], sums[3]));
  __threadfence();
  __syncwarp();
  u32 before = 0;
  if (lane_id() == 0) before = count_up(&counters[tile], C.slices - 1);
  before = __shfl_sync(0xffffffffu, before, 0);
  if (before != C.slices - 1) return false;
  __threadfence();
  float4 slice[C.slices];
#pragma unroll
  for (int s = 0; s < C.slices; ++s) slice[s] = __ldcg(&slots[s * 32]);
  sums[0] = sums[1] = sums[2] = sums[3] = 0;
#pragma unroll
  for (int s = 0; s < C.slices; ++s) {
    sums[0] += slice[s].x;
    sums[1] += slice[s].y;
    sums[2] += slice[s].z;
    sums[3] += slice[s].w;
  }
  return true;
}

template <RingConfig C, typename Bias, typename Y>
TKM_DEVICE void ring_finish(RingShared<C>& shared,
                            const MatMulArgs<bf16, bf16, Bias, Y>& args,
                            float4* partials,
                            u32* counters) {
  constexpr MatMulProblem P = C.problem;
  RingWork<C> work;
  RingCursor<2> cursor(0);
  int num_tokens = imin(C.tokens, args.tokens), g = lane_id() / 4, token = lane_id() % 4 * 2;
  for (int tile = work.first; tile < C.tiles(); tile += work.step) {
    // Sum h belongs to token + h % 2 and, unless gated, to row g + 8 (h / 2).
    int column = P.gated ? tile * 8 + g : tile * 16 + g;
    float bias[2] = {}, residual[4] = {};
#pragma unroll
    for (int h = 0; h < 4; ++h) {
      int j = column + (P.gated ? 0 : h / 2 * 8), t = token + h % 2;
      if (j >= P.columns()) continue;
      if constexpr (P.bias)
        bias[h / 2] = to_float(args.bias[j + (P.gated ? h / 2 * P.columns() : 0)]);
      if constexpr (P.residual) {
        if ((!P.gated || h < 2) && t < num_tokens)
          residual[h] = to_float(args.residual[static_cast<i64>(t) * P.columns() + j]);
      }
    }
    shared.sums_full[cursor.slot].wait(cursor.parity);
    float sums[4] = {};
#pragma unroll
    for (int w = 0; w < kRingWarps; ++w) {
      float4 part = shared.sums[cursor.slot][w][lane_id()];
      sums[0] += part.x;
      sums[1] += part.y;
      sums[2] += part.z;
      sums[3] += part.w;
    }
    __syncwarp();
    if (lane_id() == 0) shared.sums_empty[cursor.slot].arrive();
    cursor.advance();
    if constexpr (C.slices > 1) {
      if (!ring_reduce<C>(sums, work, tile, partials, counters)) continue;
    }
#pragma unroll
    for (int h = 0; h < 4; ++h) sums[h] += bias[h / 2];
#pragma unroll
    for (int h = 0; h < (P.gated ? 2 : 4); ++h) {
      int j = column + h / 2 * 8, t = token + h % 2;
      if (j >= P.columns() || t >= num_tokens) continue;
      args.y[static_cast<i64>(t) * P.columns() + j] =
          from_float<Y>(finish<P>(sums[h], sums[h % 2 + 2]) + residual[h]);
    }
  }
}

template <RingConfig C, typename Bias, typename Y>
__global__ void __launch_bounds__(kRingThreads, C.x_shared ? 1 : 2)
    matmul_ring(MatMulArgs<bf16, bf16, Bias, Y> args, float4* partials, u32* counters) {
  extern __shared__ __align__(128) u8 memory[];
  auto& shared = *reinterpret_cast<RingShared<C>*>(memory);
  if (threadIdx.x == 0) {
    for (int s = 0; s < C.stages; ++s) {
      shared.full[s].init(1);
      shared.empty[s].init(kRingWarps);
    }
    for (int s = 0; s < 2; ++s) {
      shared.sums_full[s].init(kRingWarps);
      shared.sums_empty[s].init(1);
    }
    publish_barriers();
  }
  __syncthreads();
  start_successors();
  int warp = warp_id();
  if (warp == kRingWarps) {
    ring_produce<C>(shared, args);
    wait_for_predecessors();
  } else {
    wait_for_predecessors();
    if (warp < kRingWarps)
      ring_consume<C>(shared, args, warp);
    else
      ring_finish<C>(shared, args, partials, counters);
  }
}

}  // namespace tkm
