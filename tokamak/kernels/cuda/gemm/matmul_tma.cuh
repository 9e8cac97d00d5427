// SPDX-License-Identifier: Apache-2.0
// matmul_tma (sm_90a): many tokens, bf16, w [N, K] row-major. Tiles of 128 outputs x `tile` tokens
// by warpgroup products with the weights as the side of 64 rows, so that few tokens waste nothing.
//
// Warpgroup 0 copies stages of 64 columns of w and x with tensor maps (128-byte swizzle) into a
// ring, the weights of the first stages before the predecessors have ended. Warpgroups 1 and 2
// multiply 64 outputs each. If gated, groups of 8 rows of a tile are gate, up, gate, up ... (the
// tensor map interleaves them), so that a lane holds both factors of a result.
//
// Work: whole tiles in turn, or (stream) an equal run of 64-column steps of all tiles a block,
// where a tile may end in the next block: each leaves its sums in the workspace and the last to
// arrive adds them in the order of blocks: the same bits every time.
//
// Shared memory (1 KiB-aligned): stages x (128 + tile) rows of 128 bytes; f32 transposing buffers
// of 32 tokens a warpgroup; barriers full/empty a stage (1 arrival + bytes / 8 warps). Grid: x =
// blocks; 384 threads. Limits: 8 divides K, and F if gated; tile is 16, 32, 64, 128, 256.
#pragma once

#include "gemm/wgmma_tile.cuh"

namespace tkm {

constexpr int kTmaThreads = 384, kTileOutputs = 128;

struct TmaConfig {
  MatMulProblem problem;
  int tile;  ///< Tokens.
  int stages;
  bool stream;
  TKM_DEVICE constexpr int output_tiles() const {
    return (problem.outputs + kTileOutputs - 1) / kTileOutputs;
  }
  TKM_DEVICE constexpr int steps() const {
    return (problem.depth + kStepColumns - 1) / kStepColumns;
  }
  TKM_DEVICE constexpr int stage_bytes() const { return (kTileOutputs + tile) * kStepColumns * 2; }
  TKM_DEVICE constexpr int chunk() const { return tile < 32 ? tile : 32; }
  /// Results of a warpgroup for a token, and floats between tokens in the buffer.
  TKM_DEVICE constexpr int results() const { return problem.gated ? 32 : 64; }
  TKM_DEVICE constexpr int pitch() const { return results() + 4; }
};

template <TmaConfig C>
struct TmaShared {
  u8 weights[C.stages][kTileOutputs * kStepColumns * 2];
  u8 tokens[C.stages][C.tile * kStepColumns * 2];
  float transposed[2][C.chunk()][C.pitch()];
  u32 arrived[2];
  Barrier full[C.stages], empty[C.stages];
};

/// A run of steps of one tile.
struct TilePart {
  int tile, first_step, last_step;
};

/// The parts of this block, in order.
template <TmaConfig C>
struct TmaWork {
  int token_tiles, tiles, next, end;

  TKM_DEVICE explicit TmaWork(int tokens) {
    token_tiles = (tokens + C.tile - 1) / C.tile;
    tiles = token_tiles * C.output_tiles();
    next = C.stream ? first_unit(static_cast<int>(blockIdx.x)) : static_cast<int>(blockIdx.x);
    end = C.stream ? first_unit(static_cast<int>(blockIdx.x) + 1) : tiles;
  }
  TKM_DEVICE int first_unit(int block) const {
    return static_cast<int>(static_cast<i64>(block) * tiles * C.steps() / gridDim.x);
  }
  TKM_DEVICE int block_of_unit(int unit) const {
    return static_cast<int>((static_cast<i64>(unit + 1) * gridDim.x - 1) /
                            (static_cast<i64>(tiles) * C.steps()));
  }
  TKM_DEVICE bool take(TilePart& part) {
    if (next >= end) return false;
    if constexpr (C.stream) {
      part.tile = next / C.steps();
      part.first_step = next % C.steps();
      part.last_step = imin(C.steps(), part.first_step + end - next);
      next += part.last_step - part.first_step;
    } else {
      part = {next, 0, C.steps()};
      next += static_cast<int>(gridDim.x);
    }
    return true;
  }
  /// Tiles in flight at a time share rows of w and of x: groups of 16 output tiles go through all
  /// token tiles.
  TKM_DEVICE void place(int tile, int& output_tile, int& token_tile) const {
    constexpr int kGroup = 16;
    int group = tile / (kGroup * token_tiles), rest = tile % (kGroup * token_tiles);
    int width = imin(kGroup, C.output_tiles() - group * kGroup);
    output_tile = group * kGroup + rest % width;
    token_tile = rest / width;
  }
};

template <TmaConfig C>
TKM_DEVICE void tma_produce(TmaShared<C>& shared,
                            const TensorMap* w_map,
                            const TensorMap* x_map,
                            int tokens) {
  TmaWork<C> work(tokens);
  u64 once = evict_first_policy(), again = evict_last_policy();
  u64 w_policy = work.token_tiles == 1 ? once : again;
  auto load_weights = [&](int slot, int output_tile, int step) {
    shared.full[slot].arrive_and_expect(C.stage_bytes());
    load_weight_rows<C.problem, kTileOutputs>(
        shared.weights[slot], w_map, output_tile, step, &shared.full[slot], w_policy);
  };
  TilePart part;
  int early = 0;
  for (TmaWork<C> ahead = work; early < C.stages && ahead.take(part);) {
    int output_tile, token_tile;
    work.place(part.tile, output_tile, token_tile);
    for (int step = part.first_step; step < part.last_step && early < C.stages; ++step)
      load_weights(early++, output_tile, step);
  }
  wait_for_predecessors();
  RingCursor<C.stages> cursor(1);
  while (work.take(part)) {
    int output_tile, token_tile;
    work.place(part.tile, output_tile, token_tile);
    for (int step = part.first_step; step < part.last_step; ++step) {
      if (early > 0) {
        --early;
      } else {
        shared.empty[cursor.slot].wait(cursor.parity);
        load_weights(cursor.slot, output_tile, step);
      }
      tensor_load(shared.tokens[cursor.slot],
                  x_map,
                  step * kStepColumns,
                  token_tile * C.tile,
                  &shared.full[cursor.slot],
                  again);
      cursor.advance();
    }
  }
}

/// Sums of all blocks that share the tile, if this one is the last of them to arrive.
template <TmaConfig C>
TKM_DEVICE bool tma_reduce(TmaShared<C>& shared,
                           float (&sums)[C.tile / 2],
                           const TmaWork<C>& work,
                           const TilePart& part,
                           int group,
                           float4* partials,
                           u32* counters) {
  constexpr int kVectors = C.tile / 8;
  int thread = static_cast<int>(threadIdx.x) - 128;
  auto slot = [&](int block) {
    int second = work.first_unit(block) > part.tile * C.steps() ? 0 : 1;
    return partials + static_cast<i64>(2 * block + second) * kVectors * 256 + thread;
  };
  float4* mine = slot(static_cast<int>(blockIdx.x));
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    __stcg(mine + v * 256,
           make_float4(sums[4 * v], sums[4 * v + 1], sums[4 * v + 2], sums[4 * v + 3]));
  }
  int first = work.block_of_unit(part.tile * C.steps());
  int last = work.block_of_unit(part.tile * C.steps() + C.steps() - 1);
  u32 others = static_cast<u32>(last - first);
  __threadfence();
  sync_threads(1 + group, 128);
  if (thread % 128 == 0) shared.arrived[group] = count_up(&counters[part.tile * 2 + group], others);
  sync_threads(1 + group, 128);
  bool all = shared.arrived[group] == others;
  sync_threads(1 + group, 128);
  if (!all) return false;
  __threadfence();
#pragma unroll
  for (int v = 0; v < C.tile / 2; ++v) sums[v] = 0;
  for (int block = first; block <= last; ++block) {
    const float4* other = slot(block);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      float4 part_sums = __ldcg(other + v * 256);
      sums[4 * v] += part_sums.x;
      sums[4 * v + 1] += part_sums.y;
      sums[4 * v + 2] += part_sums.z;
      sums[4 * v + 3] += part_sums.w;
    }
  }
  return true;
}

/// Four results of a token.
template <MatMulProblem P, typename Args>
TKM_DEVICE void tma_store(const Args& args, int token, int column, float4 values) {
  if (token >= args.tokens || column >= P.columns()) return;
  float v[4] = {values.x, values.y, values.z, values.w};
  i64 at = static_cast<i64>(token) * P.columns() + column;
  if constexpr (P.columns() % 4 == 0) {
    if constexpr (P.residual) {
      float r[4];
      load_floats<4>(args.residual + at, r);
#pragma unroll
      for (int j = 0; j < 4; ++j) v[j] += r[j];
    }
    store_floats<4>(v, args.y + at);
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (column + j >= P.columns()) continue;
      if constexpr (P.residual) v[j] += to_float(args.residual[at + j]);
      store_floats<1>(&v[j], args.y + at + j);
    }
  }
}

/// Bias and activation in registers, then through shared memory, so that a token's results are
/// neighbours when they meet the residual and are stored.
template <TmaConfig C, typename Args>
TKM_DEVICE void tma_finish(TmaShared<C>& shared,
                           const Args& args,
                           float (&sums)[C.tile / 2],
                           int output_tile,
                           int token_tile,
                           int group) {
  constexpr MatMulProblem P = C.problem;
  int thread = static_cast<int>(threadIdx.x) % 128, warp = thread / 32;
  int g = lane_id() / 4, i = lane_id() % 4;
  int first_column = (output_tile * 2 + group) * C.results();
  int row = warp * (C.results() / 4) + g;  // And row + 8, unless gated.
  float bias[2] = {};
  if constexpr (P.bias) {
    int j = first_column + row;
    if (j < P.columns()) bias[0] = to_float(args.bias[j]);
    int other = P.gated ? j + P.columns() : j + 8;
    if (j < P.columns() && other < P.outputs) bias[1] = to_float(args.bias[other]);
  }
  auto& buffer = shared.transposed[group];
#pragma unroll
  for (int first = 0; first < C.tile; first += C.chunk()) {
    if (token_tile * C.tile + first >= args.tokens) break;
#pragma unroll
    for (int j = 0; j < C.chunk() / 8; ++j) {
      const float* s = &sums[(first / 8 + j) * 4];
#pragma unroll
      for (int t = 0; t < 2; ++t) {
        float* to = &buffer[j * 8 + 2 * i + t][row];
        if constexpr (P.gated) {
          to[0] = finish<P>(s[t] + bias[0], s[2 + t] + bias[1]);
        } else {
          to[0] = finish<P>(s[t] + bias[0], 0);
          to[8] = finish<P>(s[2 + t] + bias[1], 0);
        }
      }
    }
    sync_threads(1 + group, 128);
    constexpr int kRuns = C.results() / 4, kRows = 128 / kRuns;
#pragma unroll
    for (int t = thread / kRuns; t < C.chunk(); t += kRows) {
      int column = thread % kRuns * 4;
      tma_store<P>(args,
                   token_tile * C.tile + first + t,
                   first_column + column,
                   *reinterpret_cast<const float4*>(&buffer[t][column]));
    }
    sync_threads(1 + group, 128);
  }
}

template <TmaConfig C, typename Args>
TKM_DEVICE void tma_consume(
    TmaShared<C>& shared, const Args& args, int group, float4* partials, u32* counters) {
  TmaWork<C> work(args.tokens);
  RingCursor<C.stages> cursor(0);
  TilePart part;
  while (work.take(part)) {
    float sums[C.tile / 2];
#pragma unroll
    for (int v = 0; v < C.tile / 2; ++v) sums[v] = 0;
    int previous = -1;
    for (int step = part.first_step; step < part.last_step; ++step) {
      shared.full[cursor.slot].wait(cursor.parity);
      multiply_step<C.tile>(sums,
                            shared.weights[cursor.slot] + group * 64 * kStepColumns * 2,
                            shared.tokens[cursor.slot]);
      wgmma_wait<1>();
      if (previous >= 0 && lane_id() == 0) shared.empty[previous].arrive();
      previous = cursor.slot;
      cursor.advance();
    }
    wgmma_wait<0>();
    if (lane_id() == 0) shared.empty[previous].arrive();
    if constexpr (C.stream) {
      bool whole = part.first_step == 0 && part.last_step == C.steps();
      if (!whole && !tma_reduce<C>(shared, sums, work, part, group, partials, counters)) continue;
    }
    int output_tile, token_tile;
    work.place(part.tile, output_tile, token_tile);
    tma_finish<C>(shared, args, sums, output_tile, token_tile, group);
  }
}

template <TmaConfig C, typename Bias, typename Y>
__global__ void __launch_bounds__(kTmaThreads, 1)
    matmul_tma(MatMulArgs<bf16, bf16, Bias, Y> args,
               const __grid_constant__ TensorMap w_map,
               const __grid_constant__ TensorMap x_map,
               float4* partials,
               u32* counters) {
  extern __shared__ __align__(1024) u8 memory[];
  auto& shared = *reinterpret_cast<TmaShared<C>*>(memory);
  if (threadIdx.x == 0) {
    prefetch_tensor_map(&w_map);
    prefetch_tensor_map(&x_map);
    for (int s = 0; s < C.stages; ++s) {
      shared.full[s].init(1);
      shared.empty[s].init(8);
    }
    publish_barriers();
  }
  __syncthreads();
  start_successors();
  int group = warp_id() / 4;
  if (group == 0) {
    if constexpr (C.tile == 256) give_registers<40>();
    if (threadIdx.x == 0) tma_produce<C>(shared, &w_map, &x_map, args.tokens);
  } else {
    if constexpr (C.tile == 256) take_registers<232>();
    wait_for_predecessors();
    tma_consume<C>(shared, args, group - 1, partials, counters);
  }
}

}  // namespace tkm
