// SPDX-License-Identifier: Apache-2.0
// matmul_ring: up to `tokens` <= 8 tokens, bf16, w [N, K] row-major: as fast as the weights stream.
//
// A block a multiprocessor stays for the whole kernel. One warp streams tiles of 16 weight rows (8
// of the gate and 8 of the up half if gated) through a ring of shared memory, in stages of `chunk`
// columns, and starts before the predecessors have ended. Eight warps multiply them by tensor cores
// with the tokens as the narrow side, each its columns of a stage, and find x in shared memory. One
// warp fetches x, adds the eight sums of a tile, finishes and stores it. If normed, the eight warps
// first replace each row of x by its RMS norm, whose weights they hold in registers by then.
//
// A stage is `chunk` / 64 slabs of 16 rows x 128 bytes with 128-byte swizzle, brought by one tensor
// copy. Columns are multiplied in an order of their own, the same for both operands: in step s of a
// slab, lane 4 g + i holds columns 16 i + 8 s ... + 7 of row g (and g + 8) of w and of token g of
// x, 16 bytes each, so that the 8 lanes of an access hit all banks.
//
// Shared memory (1 KiB-aligned): stages of slabs, x (a row of K + 8 columns a token), squares of x,
// two sets of sums, barriers full/empty a stage (1 arrival + bytes / 8 warps), sums full/empty (8
// warps / 1), x full (1 + bytes).
//
// Grid: x = blocks; 320 threads. Limits: 64 divides K; 512 divides chunk; F % 8 == 0 if gated.
#pragma once

#include "gemm/epilogue.cuh"
#include "tile/mma.cuh"
#include "tile/reduce.cuh"

namespace tkm {

constexpr int kRingWarps = 8, kRingThreads = (kRingWarps + 2) * 32;
constexpr int kSlabColumns = 64, kSlabBytes = 16 * kSlabColumns * 2;

struct RingConfig {
  MatMulProblem problem;
  int chunk;
  int stages;
  int tokens;  ///< At most; a power of two.
  bool norm;
  bool unit_offset;
  TKM_DEVICE constexpr int stage_bytes() const { return 16 * chunk * 2; }
  TKM_DEVICE constexpr int x_pitch() const { return problem.depth * 2 + 16; }
  TKM_DEVICE constexpr int tiles() const { return (problem.outputs + 15) / 16; }
  TKM_DEVICE constexpr int chunks() const { return (problem.depth + chunk - 1) / chunk; }
  /// That a warp has in a stage.
  TKM_DEVICE constexpr int slabs() const { return chunk / (kSlabColumns * kRingWarps); }
};

template <RingConfig C>
struct RingShared {
  u8 ring[C.stages][C.stage_bytes()];
  u8 x[C.tokens][C.x_pitch()];
  float4 sums[2][kRingWarps][32];
  float squares[C.norm ? C.tokens : 1][kRingWarps];
  Barrier full[C.stages], empty[C.stages], sums_full[2], sums_empty[2], x_full;
};

/// A block takes tiles first_tile(), + tile_step(), ...
TKM_DEVICE int first_tile() {
  return static_cast<int>(blockIdx.x);
}
TKM_DEVICE int tile_step() {
  return static_cast<int>(gridDim.x);
}

/// By one lane.
template <RingConfig C>
TKM_DEVICE void ring_produce(RingShared<C>& shared, const TensorMap* w_map) {
  RingCursor<C.stages> cursor(1);
  u64 policy = evict_first_policy();
  for (int tile = first_tile(); tile < C.tiles(); tile += tile_step()) {
    for (int c = 0; c < C.chunks(); ++c) {
      Barrier* full = &shared.full[cursor.slot];
      int slab = c * (C.chunk / kSlabColumns);
      shared.empty[cursor.slot].wait(cursor.parity);
      full->arrive_and_expect(C.stage_bytes());
      if constexpr (C.problem.gated)
        tensor_load(shared.ring[cursor.slot], w_map, 0, tile * 8, 0, slab, full, policy);
      else
        tensor_load(shared.ring[cursor.slot], w_map, 0, tile * 16, slab, full, policy);
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
        int column = c * C.chunk + (warp * kSlabs + s) * kSlabColumns;
        if (column >= C.problem.depth) break;
        const u8* row = shared.ring[cursor.slot] + (warp * kSlabs + s) * kSlabBytes + g * 128;
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          int at = ((2 * i + step) ^ g) * 16;
          uint4 low = *reinterpret_cast<const uint4*>(row + at);
          uint4 high = *reinterpret_cast<const uint4*>(row + 8 * 128 + at);
          uint4 b = *reinterpret_cast<const uint4*>(
              &shared.x[g % C.tokens][column * 2 + i * 32 + step * 16]);
          multiply_16x8x16(sums[0], {low.x, high.x, low.y, high.y}, b.x, b.y);
          multiply_16x8x16(sums[1], {low.z, high.z, low.w, high.w}, b.z, b.w);
        }
      }
      __syncwarp();
      if (lane_id() == 0) shared.empty[cursor.slot].arrive_after(sums[0][0]);
      cursor.advance();
    }
    shared.sums_empty[sums_cursor.slot].wait(sums_cursor.parity);
    __syncwarp();
    shared.sums[sums_cursor.slot][warp][lane_id()] = make_float4(sums[0][0] + sums[1][0],
                                                                 sums[0][1] + sums[1][1],
                                                                 sums[0][2] + sums[1][2],
                                                                 sums[0][3] + sums[1][3]);
    __syncwarp();
    if (lane_id() == 0) shared.sums_full[sums_cursor.slot].arrive();
    sums_cursor.advance();
  }
}

template <RingConfig C, typename Bias, typename Y>
TKM_DEVICE void ring_finish(RingShared<C>& shared, const MatMulArgs<bf16, bf16, Bias, Y>& args) {
  constexpr MatMulProblem P = C.problem;
  if (lane_id() == 0)
    shared.x_full.arrive_and_expect(static_cast<u32>(imin(C.tokens, args.tokens) * P.depth * 2));
  __syncwarp();
  if (lane_id() < imin(C.tokens, args.tokens)) {
    bulk_load(shared.x[lane_id()],
              args.x + static_cast<i64>(lane_id()) * P.depth,
              P.depth * 2,
              &shared.x_full,
              evict_last_policy());
  }
  RingCursor<2> cursor(0);
  int num_tokens = imin(C.tokens, args.tokens), g = lane_id() / 4, token = lane_id() % 4 * 2;
  for (int tile = first_tile(); tile < C.tiles(); tile += tile_step()) {
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

template <RingConfig C, typename Norm, typename Bias, typename Y>
__global__ void __launch_bounds__(kRingThreads, 1)
    matmul_ring(MatMulArgs<bf16, bf16, Bias, Y> args,
                const __grid_constant__ TensorMap w_map,
                const Norm* norm,
                float eps) {
  extern __shared__ __align__(1024) u8 memory[];
  auto& shared = *reinterpret_cast<RingShared<C>*>(memory);
  if (threadIdx.x == 0) {
    prefetch_tensor_map(&w_map);
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
    if (lane_id() == 0) ring_produce<C>(shared, &w_map);
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
