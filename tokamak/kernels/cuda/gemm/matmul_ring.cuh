// SPDX-License-Identifier: Apache-2.0
// matmul_ring: up to `tokens` <= 8 tokens, bf16, w [N, K] row-major: as fast as the weights stream.
//
// A block a multiprocessor stays for the whole kernel. One warp streams tiles of 8 weight rows (4
// of the gate and 4 of the up half if gated) through a ring of shared memory, in stages of `chunk`
// columns, a bulk copy a row, and starts before the predecessors have ended. Eight warps multiply
// them by tensor cores, each its columns of a stage, and find x in shared memory. One warp fetches
// x, adds the eight sums of a tile, finishes and stores it. If normed, the eight warps first
// replace each row of x by its RMS norm, whose weights they hold in registers by then.
//
// Rows in shared memory are 16 bytes longer than their columns. Columns are multiplied in an order
// of their own, the same for both operands: in step s of 64 columns, lane 4 g + i holds columns 16
// i
// + 8 s ... + 7 of row g of w and of token g of x, so that the 8 lanes of an access hit all banks.
//
// Shared memory: stages x 8 rows, x (a row a token), two sets of sums, squares of x, barriers
// full/empty a stage (1 arrival + bytes / 8 warps), sums full/empty (8 warps / 1), x full (1 +
// bytes).
//
// Grid: x = blocks; 320 threads. Limits: 64 divides K; 512 divides chunk.
#pragma once

#include "gemm/epilogue.cuh"
#include "tile/mma.cuh"
#include "tile/reduce.cuh"

namespace tkm {

constexpr int kRingWarps = 8, kRingThreads = (kRingWarps + 2) * 32, kRingRows = 8;
constexpr int kSlabColumns = 64;

struct RingConfig {
  MatMulProblem problem;
  int chunk;
  int stages;
  int tokens;  ///< At most; a power of two.
  bool norm;
  bool unit_offset;
  TKM_DEVICE constexpr int pitch() const { return chunk * 2 + 16; }
  TKM_DEVICE constexpr int x_pitch() const { return problem.depth * 2 + 16; }
  /// Results of a tile, a token.
  TKM_DEVICE constexpr int results() const { return problem.gated ? kRingRows / 2 : kRingRows; }
  TKM_DEVICE constexpr int tiles() const { return (problem.columns() + results() - 1) / results(); }
  TKM_DEVICE constexpr int chunks() const { return (problem.depth + chunk - 1) / chunk; }
  /// That a warp has in a stage.
  TKM_DEVICE constexpr int slabs() const { return chunk / (kSlabColumns * kRingWarps); }
};

template <RingConfig C>
struct RingShared {
  u8 ring[C.stages][kRingRows][C.pitch()];
  u8 x[C.tokens][C.x_pitch()];
  float2 sums[2][kRingWarps][32];
  float squares[C.tokens][kRingWarps];
  Barrier full[C.stages], empty[C.stages], sums_full[2], sums_empty[2], x_full;
};

/// A block takes tiles first_tile(), + tile_step(), ...
TKM_DEVICE int first_tile() {
  return static_cast<int>(blockIdx.x);
}
TKM_DEVICE int tile_step() {
  return static_cast<int>(gridDim.x);
}

/// By a warp, whose lane r copies row r.
template <RingConfig C>
TKM_DEVICE void ring_produce(RingShared<C>& shared, const bf16* w) {
  RingCursor<C.stages> cursor(1);
  u64 policy = evict_first_policy();
  int row = lane_id() % C.results(), half = lane_id() / C.results();
  for (int tile = first_tile(); tile < C.tiles(); tile += tile_step()) {
    int j = tile * C.results() + row;
    bool mine = lane_id() < kRingRows && j < C.problem.columns();
    int rows = __popc(__ballot_sync(0xffffffffu, mine));
    const bf16* from = w + (static_cast<i64>(half) * C.problem.columns() + j) * C.problem.depth;
    for (int c = 0; c < C.chunks(); ++c) {
      Barrier* full = &shared.full[cursor.slot];
      u32 bytes = static_cast<u32>(imin(C.chunk, C.problem.depth - c * C.chunk) * 2);
      if (lane_id() == 0) {
        shared.empty[cursor.slot].wait(cursor.parity);
        full->arrive_and_expect(static_cast<u32>(rows) * bytes);
      }
      __syncwarp();
      if (mine)
        bulk_load(shared.ring[cursor.slot][lane_id()], from + c * C.chunk, bytes, full, policy);
      cursor.advance();
    }
  }
}

/// The norm of x, by the eight warps that multiply; a thread has 8 neighbouring columns at a time.
template <RingConfig C, typename Norm>
struct RingNorm {
  static constexpr int kThreads = kRingWarps * 32, kColumns = C.problem.depth,
                       kRuns = (kColumns / 8 + kThreads - 1) / kThreads;
  float weights[kRuns][8];

  TKM_DEVICE static bool valid(int run) {
    int last = static_cast<int>(threadIdx.x) + run * kThreads;
    return (run + 1) * kThreads * 8 <= kColumns || last * 8 < kColumns;
  }
  TKM_DEVICE static bf16* columns(RingShared<C>& shared, int token, int run) {
    return reinterpret_cast<bf16*>(shared.x[token]) +
           (static_cast<int>(threadIdx.x) + run * kThreads) * 8;
  }

  TKM_DEVICE void load(const Norm* norm) {
#pragma unroll
    for (int run = 0; run < kRuns; ++run) {
      if (!valid(run)) continue;
      const Norm* from = norm + (static_cast<int>(threadIdx.x) + run * kThreads) * 8;
      load_floats<4>(from, weights[run]);
      load_floats<4>(from + 4, weights[run] + 4);
    }
  }

  TKM_DEVICE void apply(RingShared<C>& shared, int tokens, float eps) const {
    constexpr float kOffset = C.unit_offset ? 1.0f : 0.0f;
    int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
    for (int t = 0; t < C.tokens; ++t) {
      if (t >= tokens) break;
      float square = 0;
#pragma unroll
      for (int run = 0; run < kRuns; ++run) {
        if (!valid(run)) continue;
        float x[8];
        load_floats<8>(columns(shared, t, run), x);
#pragma unroll
        for (int j = 0; j < 8; ++j) square += x[j] * x[j];
      }
      square = warp_sum(square);
      if (lane_id() == 0) shared.squares[t][warp] = square;
    }
    sync_threads(1, kThreads);
#pragma unroll
    for (int t = 0; t < C.tokens; ++t) {
      if (t >= tokens) break;
      float square = 0;
#pragma unroll
      for (int w = 0; w < kRingWarps; ++w) square += shared.squares[t][w];
      float scale = rsqrtf(square / kColumns + eps);
#pragma unroll
      for (int run = 0; run < kRuns; ++run) {
        if (!valid(run)) continue;
        float x[8];
        load_floats<8>(columns(shared, t, run), x);
#pragma unroll
        for (int j = 0; j < 8; ++j) x[j] *= scale * (weights[run][j] + kOffset);
        store_floats<8>(x, columns(shared, t, run));
      }
    }
    sync_threads(1, kThreads);
  }
};

/// x is there.
template <RingConfig C>
TKM_DEVICE void ring_consume(RingShared<C>& shared, int warp) {
  RingCursor<C.stages> cursor(0);
  RingCursor<2> sums_cursor(1);
  int g = lane_id() / 4, i = lane_id() % 4;
  constexpr int kSlabs = C.slabs(), kChunks = C.chunks();
  for (int tile = first_tile(); tile < C.tiles(); tile += tile_step()) {
    float sums[2][4] = {};
    for (int c = 0; c < kChunks; ++c) {
      shared.full[cursor.slot].wait(cursor.parity);
      __syncwarp();
#pragma unroll
      for (int s = 0; s < kSlabs; ++s) {
        int slab = (warp * kSlabs + s) * kSlabColumns, column = c * C.chunk + slab;
        if (column >= C.problem.depth) break;
        const u8* row = shared.ring[cursor.slot][g] + slab * 2 + i * 32;
        const u8* x = shared.x[g % C.tokens] + column * 2 + i * 32;
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          uint4 b = *reinterpret_cast<const uint4*>(row + step * 16);
          uint4 a = *reinterpret_cast<const uint4*>(x + step * 16);
          multiply_16x8x16(sums[0], {a.x, 0, a.y, 0}, b.x, b.y);
          multiply_16x8x16(sums[1], {a.z, 0, a.w, 0}, b.z, b.w);
        }
      }
      __syncwarp();
      if (lane_id() == 0) shared.empty[cursor.slot].arrive_after(sums[0][0] + sums[1][0]);
      cursor.advance();
    }
    shared.sums_empty[sums_cursor.slot].wait(sums_cursor.parity);
    __syncwarp();
    shared.sums[sums_cursor.slot][warp][lane_id()] =
        make_float2(sums[0][0] + sums[1][0], sums[0][1] + sums[1][1]);
    __syncwarp();
    if (lane_id() == 0) shared.sums_full[sums_cursor.slot].arrive();
    sums_cursor.advance();
  }
}

/// Lane 4 g + i has the rows 2 i and 2 i + 1 of a tile for token g.
template <RingConfig C, typename Bias, typename Y>
TKM_DEVICE void ring_finish(RingShared<C>& shared, const MatMulArgs<bf16, bf16, Bias, Y>& args) {
  constexpr MatMulProblem P = C.problem;
  int num_tokens = imin(C.tokens, args.tokens), token = lane_id() / 4;
  if (lane_id() == 0) shared.x_full.arrive_and_expect(static_cast<u32>(num_tokens * P.depth * 2));
  __syncwarp();
  if (lane_id() < num_tokens) {
    bulk_load(shared.x[lane_id()],
              args.x + static_cast<i64>(lane_id()) * P.depth,
              P.depth * 2,
              &shared.x_full,
              evict_last_policy());
  }
  RingCursor<2> cursor(0);
  int row = lane_id() % 4 * 2, half = row / C.results();
  for (int tile = first_tile(); tile < C.tiles(); tile += tile_step()) {
    int column = tile * C.results() + row % C.results();
    float bias[2] = {}, residual[2] = {};
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (column + h >= P.columns()) continue;
      if constexpr (P.bias) bias[h] = to_float(args.bias[half * P.columns() + column + h]);
      if constexpr (P.residual) {
        if (half == 0 && token < num_tokens)
          residual[h] = to_float(args.residual[static_cast<i64>(token) * P.columns() + column + h]);
      }
    }
    shared.sums_full[cursor.slot].wait(cursor.parity);
    float sums[2] = {};
#pragma unroll
    for (int w = 0; w < kRingWarps; ++w) {
      float2 part = shared.sums[cursor.slot][w][lane_id()];
      sums[0] += part.x;
      sums[1] += part.y;
    }
    __syncwarp();
    if (lane_id() == 0) shared.sums_empty[cursor.slot].arrive();
    cursor.advance();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float sum = sums[h] + bias[h], up = 0;
      if constexpr (P.gated) up = __shfl_down_sync(0xffffffffu, sum, 2);
      if (half > 0 || token >= num_tokens || column + h >= P.columns()) continue;
      args.y[static_cast<i64>(token) * P.columns() + column + h] =
          from_float<Y>(finish<P>(sum, up) + residual[h]);
    }
  }
}

template <RingConfig C, typename Norm, typename Bias, typename Y>
__global__ void __launch_bounds__(kRingThreads, 1)
    matmul_ring(MatMulArgs<bf16, bf16, Bias, Y> args, const Norm* norm, float eps) {
  extern __shared__ __align__(1024) u8 memory[];
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
    shared.x_full.init(1);
    publish_barriers();
  }
  __syncthreads();
  start_successors();
  int warp = warp_id();
  if (warp == kRingWarps) {
    ring_produce<C>(shared, args.w);
    wait_for_predecessors();
  } else if (warp < kRingWarps) {
    if constexpr (C.norm) {
      RingNorm<C, Norm> normed;
      normed.load(norm);
      wait_for_predecessors();
      shared.x_full.wait(0);
      normed.apply(shared, imin(C.tokens, args.tokens), eps);
    } else {
      wait_for_predecessors();
      shared.x_full.wait(0);
    }
    ring_consume<C>(shared, warp);
  } else {
    wait_for_predecessors();
    ring_finish<C>(shared, args);
  }
}

}  // namespace tkm
