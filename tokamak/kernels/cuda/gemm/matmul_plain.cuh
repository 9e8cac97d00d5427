// SPDX-License-Identifier: Apache-2.0
// matmul_plain: any types, any shapes, w [N, K] or [K, N]. For what the fast kernels do not take.
// A block makes 32 tokens x 64 columns of y, a thread 4 tokens x 2 columns (two sums each if
// gated), from tiles of 32 x 32 and 32 x 64 elements in shared memory, as f32. Grid: x =
// ceil(columns / 64), y = ceil(tokens / 32); 256 threads.
#pragma once

#include "gemm/epilogue.cuh"
#include "tile/async.cuh"

namespace tkm {

template <MatMulProblem P, typename W>
TKM_DEVICE float weight_at(const W* w, int output, int k, int outputs, int depth) {
  i64 at =
      P.transposed ? static_cast<i64>(output) * depth + k : static_cast<i64>(k) * outputs + output;
  return to_float(w[at]);
}

template <MatMulProblem P, typename X, typename W, typename Bias, typename Y>
__global__ void __launch_bounds__(256)
    matmul_plain(MatMulArgs<X, W, Bias, Y> args, int outputs, int depth) {
  constexpr int kTokens = 32, kColumns = 64, kDepth = 32, kHalves = P.gated ? 2 : 1;
  __shared__ float x_tile[kDepth][kTokens + 1];
  __shared__ float w_tile[kHalves][kDepth][kColumns + 1];
  const int columns = P.gated ? outputs / 2 : outputs;
  start_successors();
  wait_for_predecessors();
  int thread = static_cast<int>(threadIdx.x);
  int first_token = static_cast<int>(blockIdx.y) * kTokens;
  int first_column = static_cast<int>(blockIdx.x) * kColumns;
  int token = thread / 32 * 4, column = thread % 32;
  float sums[kHalves][4][2] = {};
  for (int k0 = 0; k0 < depth; k0 += kDepth) {
    for (int i = thread; i < kTokens * kDepth; i += 256) {
      int t = i / kDepth, k = i % kDepth;
      bool valid = first_token + t < args.tokens && k0 + k < depth;
      x_tile[k][t] =
          valid ? to_float(args.x[static_cast<i64>(first_token + t) * depth + k0 + k]) : 0.0f;
    }
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      for (int i = thread; i < kColumns * kDepth; i += 256) {
        int c = P.transposed ? i / kDepth : i % kColumns,
            k = P.transposed ? i % kDepth : i / kColumns;
        bool valid = first_column + c < columns && k0 + k < depth;
        w_tile[h][k][c] =
            valid ? weight_at<P>(args.w, first_column + c + h * columns, k0 + k, outputs, depth)
                  : 0.0f;
      }
    }
    __syncthreads();
#pragma unroll 8
    for (int k = 0; k < kDepth; ++k) {
#pragma unroll
      for (int t = 0; t < 4; ++t) {
        float a = x_tile[k][token + t];
#pragma unroll
        for (int h = 0; h < kHalves; ++h) {
          sums[h][t][0] += a * w_tile[h][k][column];
          sums[h][t][1] += a * w_tile[h][k][column + 32];
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int t = 0; t < 4; ++t) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      int row = first_token + token + t, j = first_column + column + 32 * c;
      if (row >= args.tokens || j >= columns) continue;
      float sum = sums[0][t][c], up = sums[kHalves - 1][t][c];
      if constexpr (P.bias) {
        sum += to_float(args.bias[j]);
        if constexpr (P.gated) up += to_float(args.bias[j + columns]);
      }
      i64 at = static_cast<i64>(row) * columns + j;
      float value = finish<P>(sum, up);
      if constexpr (P.residual) value += to_float(args.residual[at]);
      args.y[at] = from_float<Y>(value);
    }
  }
}

}  // namespace tkm
