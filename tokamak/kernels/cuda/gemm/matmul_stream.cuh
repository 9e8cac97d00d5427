// SPDX-License-Identifier: Apache-2.0
// matmul_stream: one or two tokens, bf16, w [N, K] row-major: as fast as the weights stream.
//
// A block a multiprocessor stays for the whole kernel. One warp streams runs of `rows` whole rows
// of w (if gated, half of them of the gate and half of the up half) through a ring of shared
// memory, a bulk copy each of neighbouring bytes, and starts before the predecessors have ended.
// Eight warps multiply; each thread keeps its columns of x in registers, runs of 8 that lie 2048
// apart. One warp adds the eight sums of a run, finishes and stores it. If normed, x is replaced by
// its RMS norm in the registers.
//
// Shared memory: stages of `rows` x K, two sets of sums, squares of x, barriers full/empty a stage
// (1 arrival + bytes / 8 warps), sums full/empty (8 warps / 1).
//
// Grid: x = blocks; 320 threads. Limits: 8 divides K; `rows` is even if gated.
#pragma once

#include "gemm/epilogue.cuh"
#include "tile/reduce.cuh"

namespace tkm {

constexpr int kStreamWarps = 8, kStreamThreads = (kStreamWarps + 2) * 32;

struct StreamConfig {
  MatMulProblem problem;
  int rows;  ///< Of w in a stage.
  int stages;
  int tokens;
  bool norm;
  bool unit_offset;
  TKM_DEVICE constexpr int row_bytes() const { return problem.depth * 2; }
  /// Results of a run, a token.
  TKM_DEVICE constexpr int results() const { return problem.gated ? rows / 2 : rows; }
  TKM_DEVICE constexpr int runs() const { return (problem.columns() + results() - 1) / results(); }
  /// Runs of 8 columns of a thread.
  TKM_DEVICE constexpr int steps() const {
    return (problem.depth / 8 + kStreamWarps * 32 - 1) / (kStreamWarps * 32);
  }
};

template <StreamConfig C>
struct StreamShared {
  u8 ring[C.stages][C.rows * C.row_bytes()];
  float sums[2][kStreamWarps][C.rows * C.tokens];
  float squares[C.tokens][kStreamWarps];
  Barrier full[C.stages], empty[C.stages], sums_full[2], sums_empty[2];
};

/// By one lane.
template <StreamConfig C>
TKM_DEVICE void stream_produce(StreamShared<C>& shared, const bf16* w) {
  RingCursor<C.stages> cursor(1);
  u64 policy = evict_first_policy();
  for (int run = static_cast<int>(blockIdx.x); run < C.runs(); run += gridDim.x) {
    Barrier* full = &shared.full[cursor.slot];
    int first = run * C.results();
    u32 bytes = static_cast<u32>(imin(C.results(), C.problem.columns() - first) * C.row_bytes());
    const bf16* from = w + static_cast<i64>(first) * C.problem.depth;
    shared.empty[cursor.slot].wait(cursor.parity);
    full->arrive_and_expect(C.problem.gated ? 2 * bytes : bytes);
    bulk_load(shared.ring[cursor.slot], from, bytes, full, policy);
    if constexpr (C.problem.gated) {
      bulk_load(shared.ring[cursor.slot] + C.results() * C.row_bytes(),
                from + static_cast<i64>(C.problem.columns()) * C.problem.depth,
                bytes,
                full,
                policy);
    }
    cursor.advance();
  }
}

/// A thread's columns of x.
template <StreamConfig C>
struct StreamColumns {
  float x[C.tokens][C.steps()][8];

  TKM_DEVICE static bool valid(int step) {
    constexpr int kThreads = kStreamWarps * 32;
    return (step + 1) * kThreads * 8 <= C.problem.depth ||
           (static_cast<int>(threadIdx.x) + step * kThreads) * 8 < C.problem.depth;
  }
  TKM_DEVICE static int column(int step) {
    return (static_cast<int>(threadIdx.x) + step * kStreamWarps * 32) * 8;
  }

  TKM_DEVICE void load(const bf16* from, int tokens) {
#pragma unroll
    for (int t = 0; t < C.tokens; ++t) {
#pragma unroll
      for (int step = 0; step < C.steps(); ++step) {
#pragma unroll
        for (int j = 0; j < 8; ++j) x[t][step][j] = 0;
        if (t < tokens && valid(step))
          load_floats<8>(from + static_cast<i64>(t) * C.problem.depth + column(step), x[t][step]);
      }
    }
  }

  /// By all that multiply. x is rounded, as a norm of its own would.
  TKM_DEVICE void norm(StreamShared<C>& shared, const float (&weights)[C.steps()][8], float eps) {
#pragma unroll
    for (int t = 0; t < C.tokens; ++t) {
      float square = 0;
#pragma unroll
      for (int step = 0; step < C.steps(); ++step) {
#pragma unroll
        for (int j = 0; j < 8; ++j) square += x[t][step][j] * x[t][step][j];
      }
      square = warp_sum(square);
      if (lane_id() == 0) shared.squares[t][threadIdx.x / 32] = square;
    }
    sync_threads(1, kStreamWarps * 32);
#pragma unroll
    for (int t = 0; t < C.tokens; ++t) {
      float square = 0;
#pragma unroll
      for (int w = 0; w < kStreamWarps; ++w) square += shared.squares[t][w];
      float scale = rsqrtf(square / C.problem.depth + eps);
#pragma unroll
      for (int step = 0; step < C.steps(); ++step) {
#pragma unroll
        for (int j = 0; j < 8; ++j)
          x[t][step][j] = to_float(from_float<bf16>(x[t][step][j] * scale * weights[step][j]));
      }
    }
  }
};

template <StreamConfig C>
TKM_DEVICE void stream_consume(StreamShared<C>& shared, const StreamColumns<C>& columns) {
  RingCursor<C.stages> cursor(0);
  RingCursor<2> sums_cursor(1);
  int warp = static_cast<int>(threadIdx.x) / 32;
  for (int run = static_cast<int>(blockIdx.x); run < C.runs(); run += gridDim.x) {
    float sums[C.rows][C.tokens] = {};
    shared.full[cursor.slot].wait(cursor.parity);
    __syncwarp();
#pragma unroll
    for (int step = 0; step < C.steps(); ++step) {
      if (!StreamColumns<C>::valid(step)) continue;
#pragma unroll
      for (int r = 0; r < C.rows; ++r) {
        uint4 w = *reinterpret_cast<const uint4*>(shared.ring[cursor.slot] + r * C.row_bytes() +
                                                  StreamColumns<C>::column(step) * 2);
        u32 pairs[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
#pragma unroll
          for (int t = 0; t < C.tokens; ++t) {
            sums[r][t] += low_bf16(pairs[j]) * columns.x[t][step][2 * j];
            sums[r][t] += high_bf16(pairs[j]) * columns.x[t][step][2 * j + 1];
          }
        }
      }
    }
    // The slot goes back after the shuffles: whatever they sum has been read by then.
#pragma unroll
    for (int r = 0; r < C.rows; ++r) {
#pragma unroll
      for (int t = 0; t < C.tokens; ++t) sums[r][t] = warp_sum(sums[r][t]);
    }
    float all = 0;
#pragma unroll
    for (int r = 0; r < C.rows; ++r) all += sums[r][0];
    if (lane_id() == 0) shared.empty[cursor.slot].arrive_after(all);
    cursor.advance();
    shared.sums_empty[sums_cursor.slot].wait(sums_cursor.parity);
    __syncwarp();
#pragma unroll
    for (int r = 0; r < C.rows; ++r) {
#pragma unroll
      for (int t = 0; t < C.tokens; ++t) {
        if (lane_id() == r * C.tokens + t)
          shared.sums[sums_cursor.slot][warp][r * C.tokens + t] = sums[r][t];
      }
    }
    __syncwarp();
    if (lane_id() == 0) shared.sums_full[sums_cursor.slot].arrive();
    sums_cursor.advance();
  }
}

/// Lane r * tokens + t has result r of a run for token t.
template <StreamConfig C, typename Bias, typename Y>
TKM_DEVICE void stream_finish(StreamShared<C>& shared,
                              const MatMulArgs<bf16, bf16, Bias, Y>& args) {
  constexpr MatMulProblem P = C.problem;
  RingCursor<2> cursor(0);
  int r = lane_id() / C.tokens, t = lane_id() % C.tokens;
  for (int run = static_cast<int>(blockIdx.x); run < C.runs(); run += gridDim.x) {
    int j = run * C.results() + r;
    bool mine = r < C.results() && j < P.columns() && t < args.tokens;
    float bias[2] = {}, residual = 0;
    if constexpr (P.bias) {
      if (mine) bias[0] = to_float(args.bias[j]);
      if (mine && P.gated) bias[1] = to_float(args.bias[j + P.columns()]);
    }
    if constexpr (P.residual) {
      if (mine) residual = to_float(args.residual[static_cast<i64>(t) * P.columns() + j]);
    }
    shared.sums_full[cursor.slot].wait(cursor.parity);
    float sum = bias[0], up = bias[1];
    if (mine) {
      float parts[2] = {};
#pragma unroll
      for (int w = 0; w < kStreamWarps; ++w) {
        const float* from = shared.sums[cursor.slot][w];
        parts[0] += from[r * C.tokens + t];
        if constexpr (P.gated) parts[1] += from[(r + C.results()) * C.tokens + t];
      }
      sum += parts[0];
      up += parts[1];
    }
    __syncwarp();
    if (lane_id() == 0) shared.sums_empty[cursor.slot].arrive();
    cursor.advance();
    if (mine)
      args.y[static_cast<i64>(t) * P.columns() + j] = from_float<Y>(finish<P>(sum, up) + residual);
  }
}

template <StreamConfig C, typename Norm, typename Bias, typename Y>
__global__ void __launch_bounds__(kStreamThreads, 1)
    matmul_stream(MatMulArgs<bf16, bf16, Bias, Y> args, const Norm* norm, float eps) {
  extern __shared__ __align__(1024) u8 memory[];
  auto& shared = *reinterpret_cast<StreamShared<C>*>(memory);
  if (threadIdx.x == 0) {
    for (int s = 0; s < C.stages; ++s) {
      shared.full[s].init(1);
      shared.empty[s].init(kStreamWarps);
    }
    for (int s = 0; s < 2; ++s) {
      shared.sums_full[s].init(kStreamWarps);
      shared.sums_empty[s].init(1);
    }
    publish_barriers();
  }
  __syncthreads();
  start_successors();
  int warp = warp_id();
  if (warp == kStreamWarps) {
    if (lane_id() == 0) stream_produce<C>(shared, args.w);
    wait_for_predecessors();
  } else if (warp < kStreamWarps) {
    StreamColumns<C> columns;
    if constexpr (C.norm) {
      float weights[C.steps()][8] = {};
#pragma unroll
      for (int step = 0; step < C.steps(); ++step) {
        if (!StreamColumns<C>::valid(step)) continue;
        load_floats<4>(norm + StreamColumns<C>::column(step), weights[step]);
        load_floats<4>(norm + StreamColumns<C>::column(step) + 4, weights[step] + 4);
#pragma unroll
        for (int j = 0; j < 8; ++j) weights[step][j] += C.unit_offset ? 1.0f : 0.0f;
      }
      wait_for_predecessors();
      columns.load(args.x, args.tokens);
      columns.norm(shared, weights, eps);
    } else {
      wait_for_predecessors();
      columns.load(args.x, args.tokens);
    }
    stream_consume<C>(shared, columns);
  } else {
    wait_for_predecessors();
    stream_finish<C>(shared, args);
  }
}

}  // namespace tkm
