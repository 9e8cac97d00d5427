// SPDX-License-Identifier: Apache-2.0
// matmul_cluster (sm_90a): up to some dozens of tokens, bf16, w [N, K] row-major, as fast as the
// weights stream. Tiles of `outputs` rows of w, any multiple of 16, so that a tile or two a block
// are just what there is to do, and tensor cores have the tokens as the side of 64 rows. The blocks
// of a cluster share a tile: each multiplies its part of K and finishes its share of the results
// from the sums of all, added in the order of blocks: the same bits every time. Clusters stay for
// the whole kernel and take tiles in turn.
//
// Warpgroups 2 t and 2 t + 1 multiply 64 tokens by half of the outputs each. One warp behind them
// copies stages of 64 columns of w and x with tensor maps (128-byte swizzle) into a ring, the
// weights of the first stages before the predecessors have ended. Where there are fewer tokens, the
// rest of the 64 rows is what lies behind them in shared memory, and nobody looks at what becomes
// of it. If gated, groups of 8 rows of a tile are gate, up, gate, up ... (the tensor map
// interleaves them), so that a lane holds both factors of a result.
//
// Sums meet as pieces of 16 tokens x 8 outputs: 16 bytes of each lane of a warp.
//
// Shared memory (1 KiB-aligned): stages x (tile + outputs) rows of 128 bytes; with more than one
// block, f32 sums of the tile; barriers full/empty a stage (1 arrival + bytes / warps), ready and
// read (a warp of any block each). Grid: x = clusters x blocks; 288 or 544 threads. Limits: 8
// divides K, and F if gated; 16 (gated: 32) divides outputs, at most 256; tile is 8, 16, 32, 64 or
// 128; blocks is 1, 2, 4 or 8 and at most the stages of K.
#pragma once

#include "gemm/wgmma_tile.cuh"
#include "tile/cluster.cuh"

namespace tkm {

struct ClusterConfig {
  MatMulProblem problem;
  int outputs;  ///< Of a tile, rows of w.
  int tile;     ///< Tokens.
  int stages;
  int blocks;  ///< Of a cluster.
  TKM_DEVICE constexpr int groups() const { return tile > 64 ? 4 : 2; }
  TKM_DEVICE constexpr int warps() const { return groups() * 4; }  ///< That multiply.
  TKM_DEVICE constexpr int threads() const { return warps() * 32 + 32; }
  TKM_DEVICE constexpr int output_tiles() const {
    return (problem.outputs + outputs - 1) / outputs;
  }
  TKM_DEVICE constexpr int steps() const {
    return (problem.depth + kStepColumns - 1) / kStepColumns;
  }
  TKM_DEVICE constexpr int stage_bytes() const { return (outputs + tile) * kStepColumns * 2; }
  /// Outputs of a warpgroup.
  TKM_DEVICE constexpr int width() const { return outputs / 2; }
  /// Pieces of a tile: by 16 tokens, each by 8 outputs.
  TKM_DEVICE constexpr int piece_rows() const { return (tile + 15) / 16; }
  TKM_DEVICE constexpr int piece_columns() const { return outputs / 8; }
  /// Pieces, or pairs of them if gated, that a block finishes, and a warp of it at most.
  TKM_DEVICE constexpr int results() const {
    return piece_rows() * piece_columns() / (problem.gated ? 2 : 1);
  }
  TKM_DEVICE constexpr int share() const { return (results() + blocks - 1) / blocks; }
  TKM_DEVICE constexpr int share_of_warp() const { return (share() + warps() - 1) / warps(); }
};

template <ClusterConfig C>
struct ClusterShared {
  u8 tokens[C.stages][C.tile * kStepColumns * 2];
  u8 weights[C.stages][C.outputs * kStepColumns * 2];
  float4 sums[C.blocks > 1 ? C.piece_rows() * C.piece_columns() * 32 : 1];
  Barrier full[C.stages], empty[C.stages];
  ClusterBarrier ready, read;
};

/// What a block works on: steps [first_step, last_step) of tiles first_tile, + num_clusters, ...
template <ClusterConfig C>
struct ClusterWork {
  int token_tiles, tiles, first_tile, num_clusters, rank, first_step, last_step;

  TKM_DEVICE explicit ClusterWork(int tokens) {
    token_tiles = (tokens + C.tile - 1) / C.tile;
    tiles = token_tiles * C.output_tiles();
    int block = static_cast<int>(blockIdx.x);
    first_tile = block / C.blocks;
    num_clusters = static_cast<int>(gridDim.x) / C.blocks;
    rank = block % C.blocks;
    first_step = rank * C.steps() / C.blocks;
    last_step = (rank + 1) * C.steps() / C.blocks;
  }
  /// Token tiles of the same outputs are neighbours: their weights are read once from memory.
  TKM_DEVICE int output_tile(int tile) const { return tile / token_tiles; }
  TKM_DEVICE int token_tile(int tile) const { return tile % token_tiles; }
};

/// By one thread.
template <ClusterConfig C>
TKM_DEVICE void cluster_produce(ClusterShared<C>& shared,
                                const TensorMap* w_map,
                                const TensorMap* x_map,
                                const ClusterWork<C>& work) {
  u64 once = evict_first_policy(), again = evict_last_policy();
  u64 w_policy = work.token_tiles == 1 ? once : again;
  auto load_weights = [&](int slot, int tile, int step) {
    Barrier* full = &shared.full[slot];
    full->arrive_and_expect(C.stage_bytes());
    load_weight_rows<C.problem, C.outputs>(
        shared.weights[slot], w_map, work.output_tile(tile), step, full, w_policy);
  };
  int early = 0;
  for (int tile = work.first_tile; tile < work.tiles && early < C.stages;
       tile += work.num_clusters) {
    for (int step = work.first_step; step < work.last_step && early < C.stages; ++step)
      load_weights(early++, tile, step);
  }
  wait_for_predecessors();
  RingCursor<C.stages> cursor(1);
  for (int tile = work.first_tile; tile < work.tiles; tile += work.num_clusters) {
    for (int step = work.first_step; step < work.last_step; ++step) {
      if (early > 0) {
        --early;
      } else {
        shared.empty[cursor.slot].wait(cursor.parity);
        load_weights(cursor.slot, tile, step);
      }
      tensor_load(shared.tokens[cursor.slot],
                  x_map,
                  step * kStepColumns,
                  work.token_tile(tile) * C.tile,
                  &shared.full[cursor.slot],
                  again);
      cursor.advance();
    }
  }
}

/// The results of a lane in a piece: of tokens `token` and token + 8 the columns `column` and
/// column + 1, in the order of its sums.
template <ClusterConfig C>
struct PiecePlace {
  int token, column;

  /// `row` and `piece` count pieces of the tile, pairs of them if gated.
  TKM_DEVICE PiecePlace(const ClusterWork<C>& work, int tile, int row, int piece) {
    constexpr int kColumns = C.problem.gated ? C.outputs / 2 : C.outputs;
    token = work.token_tile(tile) * C.tile + row * 16 + lane_id() / 4;
    column = work.output_tile(tile) * kColumns + piece * 8 + lane_id() % 4 * 2;
  }
};

/// What the results of a piece need beside the sums, fetched before these are there.
template <ClusterConfig C, typename Args>
struct PieceRest {
  float bias[2] = {}, up_bias[2] = {}, residual[2][2] = {};

  TKM_DEVICE static i64 at(const PiecePlace<C>& place, int half) {
    return static_cast<i64>(place.token + half * 8) * C.problem.columns() + place.column;
  }
  /// Whether token `half` of the two has a row, and how many of its two columns there are.
  TKM_DEVICE static int columns(const PiecePlace<C>& place, int half, int tokens) {
    if (place.token + half * 8 >= tokens || (C.tile < 16 && half)) return 0;
    if (C.problem.outputs % C.outputs == 0) return 2;
    return imin(2, C.problem.columns() - place.column);
  }

  TKM_DEVICE void load(const PiecePlace<C>& place, const Args& args) {
    if constexpr (C.problem.bias) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        int column = imin(place.column + c, C.problem.columns() - 1);
        bias[c] = to_float(args.bias[column]);
        if constexpr (C.problem.gated)
          up_bias[c] = to_float(args.bias[column + C.problem.columns()]);
      }
    }
    if constexpr (C.problem.residual) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        int count = columns(place, half, args.tokens);
        if (C.problem.columns() % 2 == 0) {
          if (count > 0) load_floats<2>(args.residual + at(place, half), residual[half]);
        } else {
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            if (c < count) residual[half][c] = to_float(args.residual[at(place, half) + c]);
          }
        }
      }
    }
  }
  /// `up` counts only if gated.
  TKM_DEVICE void store(const PiecePlace<C>& place,
                        const Args& args,
                        float4 sums,
                        float4 up) const {
    float s[2][2] = {{sums.x, sums.y}, {sums.z, sums.w}}, u[2][2] = {{up.x, up.y}, {up.z, up.w}};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float y[2];
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        y[c] = finish<C.problem>(s[half][c] + bias[c], u[half][c] + up_bias[c]) + residual[half][c];
      }
      int count = columns(place, half, args.tokens);
      if (C.problem.columns() % 2 == 0) {
        if (count > 0) store_floats<2>(y, args.y + at(place, half));
      } else {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          if (c < count) store_floats<1>(&y[c], args.y + at(place, half) + c);
        }
      }
    }
  }
};

template <int N>
TKM_DEVICE float4 piece_of(const float (&sums)[N], int piece) {
  return make_float4(
      sums[4 * piece], sums[4 * piece + 1], sums[4 * piece + 2], sums[4 * piece + 3]);
}

/// Of a block that has the whole sums.
template <ClusterConfig C, typename Args>
TKM_DEVICE void cluster_finish_alone(const Args& args,
                                     const ClusterWork<C>& work,
                                     const float (&sums)[C.width() / 2],
                                     int tile) {
  constexpr int kEach = C.problem.gated ? 2 : 1, kPieces = C.width() / 8 / kEach;
  int group = warp_id() / 4, row = group / 2 * 4 + warp_id() % 4;
  if (row >= C.piece_rows()) return;
#pragma unroll
  for (int n = 0; n < kPieces; ++n) {
    PiecePlace<C> place(work, tile, row, group % 2 * kPieces + n);
    PieceRest<C, Args> rest;
    rest.load(place, args);
    rest.store(place, args, piece_of(sums, n * kEach), piece_of(sums, n * kEach + kEach - 1));
  }
}

template <int N>
TKM_DEVICE float4 sum_of(const float4 (&parts)[N]) {
  float4 sum = parts[0];
#pragma unroll
  for (int n = 1; n < N; ++n) {
    sum.x += parts[n].x;
    sum.y += parts[n].y;
    sum.z += parts[n].z;
    sum.w += parts[n].w;
  }
  return sum;
}

/// Adds the sums of all blocks and finishes this block's share of the tile. `round` counts tiles.
template <ClusterConfig C, typename Args>
TKM_DEVICE void cluster_finish(ClusterShared<C>& shared,
                               const Args& args,
                               const ClusterWork<C>& work,
                               const float (&sums)[C.width() / 2],
                               int tile,
                               u32 round) {
  constexpr int kMine = C.share_of_warp(), kEach = C.problem.gated ? 2 : 1;
  // More would not fit the registers.
  constexpr int kAhead = kMine <= 3 ? kMine : 0;
  constexpr int kRow = C.piece_columns() / kEach;
  int warp = warp_id(), first = work.rank * C.share() + warp,
      end = imin((work.rank + 1) * C.share(), C.results());
  auto place = [&](int result) { return PiecePlace<C>(work, tile, result / kRow, result % kRow); };
  PieceRest<C, Args> ahead[kAhead ? kAhead : 1];
#pragma unroll
  for (int n = 0; n < kAhead; ++n) {
    int result = first + n * C.warps();
    if (result < end) ahead[n].load(place(result), args);
  }
  int group = warp / 4, row = group / 2 * 4 + warp % 4;
  shared.read.wait_for_cluster((round & 1) ^ 1);
  if (row < C.piece_rows()) {
    float4* to = &shared.sums[(row * C.piece_columns() + group % 2 * (C.width() / 8)) * 32];
#pragma unroll
    for (int n = 0; n < C.width() / 8; ++n) to[n * 32 + lane_id()] = piece_of(sums, n);
  }
  __syncwarp();
  if (lane_id() < C.blocks) shared.ready.arrive_in(lane_id());
  shared.ready.wait_for_cluster(round & 1);
  // All loads of a batch are under way before the first is waited for.
  constexpr int kBatch = kAhead ? kAhead : 1;
#pragma unroll 1
  for (int batch = 0; batch < kMine; batch += kBatch) {
    float4 parts[kBatch][kEach][C.blocks] = {};
#pragma unroll
    for (int n = 0; n < kBatch; ++n) {
      int result = first + (batch + n) * C.warps();
      if (result >= end) break;
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const float4* at = &shared.sums[(result * kEach + e) * 32 + lane_id()];
#pragma unroll
        for (int rank = 0; rank < C.blocks; ++rank)
          parts[n][e][rank] = load_remote(address_in(at, rank));
      }
    }
#pragma unroll
    for (int n = 0; n < kBatch; ++n) {
      int result = first + (batch + n) * C.warps();
      if (result >= end) break;
      if constexpr (!kAhead) ahead[0].load(place(result), args);
      ahead[n].store(place(result), args, sum_of(parts[n][0]), sum_of(parts[n][kEach - 1]));
    }
  }
  __syncwarp();
  if (lane_id() < C.blocks) shared.read.arrive_in(lane_id());
}

/// By the warpgroups that multiply.
template <ClusterConfig C, typename Args>
TKM_DEVICE void cluster_consume(ClusterShared<C>& shared,
                                const Args& args,
                                const ClusterWork<C>& work) {
  RingCursor<C.stages> cursor(0);
  int group = warp_id() / 4;
  u32 round = 0;
  for (int tile = work.first_tile; tile < work.tiles; tile += work.num_clusters, ++round) {
    float sums[C.width() / 2];
#pragma unroll
    for (int v = 0; v < C.width() / 2; ++v) sums[v] = 0;
    int previous = -1;
    for (int step = work.first_step; step < work.last_step; ++step) {
      shared.full[cursor.slot].wait(cursor.parity);
      multiply_step<C.width()>(
          sums,
          shared.tokens[cursor.slot] + group / 2 * 64 * kStepColumns * 2,
          shared.weights[cursor.slot] + group % 2 * C.width() * kStepColumns * 2);
      wgmma_wait<1>();
      if (previous >= 0 && lane_id() == 0) shared.empty[previous].arrive();
      previous = cursor.slot;
      cursor.advance();
    }
    wgmma_wait<0>();
    hold(sums);
    if (lane_id() == 0) shared.empty[previous].arrive();
    if constexpr (C.blocks > 1) {
      cluster_finish<C>(shared, args, work, sums, tile, round);
    } else {
      cluster_finish_alone<C>(args, work, sums, tile);
    }
  }
  // Other blocks may still read the sums of the last tile.
  if constexpr (C.blocks > 1) shared.read.wait_for_cluster((round & 1) ^ 1);
}

template <ClusterConfig C, typename Bias, typename Y>
__global__ void __launch_bounds__(C.threads(), 1)
    matmul_cluster(MatMulArgs<bf16, bf16, Bias, Y> args,
                   const __grid_constant__ TensorMap w_map,
                   const __grid_constant__ TensorMap x_map) {
  extern __shared__ __align__(1024) u8 memory[];
  auto& shared = *reinterpret_cast<ClusterShared<C>*>(memory);
  if (threadIdx.x == 0) {
    prefetch_tensor_map(&w_map);
    prefetch_tensor_map(&x_map);
    for (int s = 0; s < C.stages; ++s) {
      shared.full[s].init(1);
      shared.empty[s].init(C.warps());
    }
    shared.ready.init(C.blocks * C.warps());
    shared.read.init(C.blocks * C.warps());
    publish_barriers();
  }
  __syncthreads();
  start_successors();
  // Before one block's barriers are used by another, it must have started.
  if constexpr (C.blocks > 1) arrive_at_cluster();
  ClusterWork<C> work(args.tokens);
  if (warp_id() == C.warps()) {
    if (lane_id() == 0) cluster_produce<C>(shared, &w_map, &x_map, work);
    __syncwarp();
    if constexpr (C.blocks > 1) wait_for_cluster();
  } else {
    if constexpr (C.blocks > 1) wait_for_cluster();
    wait_for_predecessors();
    cluster_consume<C>(shared, args, work);
  }
}

}  // namespace tkm
