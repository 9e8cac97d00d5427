// SPDX-License-Identifier: Apache-2.0
// What matmul_cluster and matmul_tma share on the host: which problems warpgroup products take, and
// the tensor maps of their operands.
#pragma once

#include "tokamak/kernels/cuda/gemm/matmul_problem.h"

namespace tokamak::kernels::cuda {

constexpr int64_t kStepColumns = 64;  ///< Of a stage: 128 bytes, the width of the swizzle.

inline bool takes_wgmma(const MatMulProblem& p, const device::cuda::DeviceInfo& info) {
  return info.compute_capability == 90 && p.streams() && p.depth % 8 == 0 &&
         (!p.op.gated || p.columns() % 8 == 0);
}

/// Of w: boxes of `rows` rows; if gated, rows by group of 8, half, place in the group, so that gate
/// and up rows take turns.
inline device::cuda::TensorMapDesc weight_map(const MatMulProblem& p, const void* w, int64_t rows) {
  int64_t depth = p.depth, row = depth * 2;
  if (!p.op.gated) {
    return {.data = w, .shape = {depth, p.outputs}, .strides = {row}, .box = {kStepColumns, rows}};
  }
  return {.data = w,
          .shape = {depth, 8, 2, p.columns() / 8},
          .strides = {row, p.columns() * row, 8 * row},
          .box = {kStepColumns, 8, 2, rows / 16}};
}

/// Of x: boxes of `rows` tokens, zeros behind the last.
inline device::cuda::TensorMapDesc token_map(const MatMulProblem& p,
                                             const void* x,
                                             int64_t tokens,
                                             int64_t rows) {
  return {
      .data = x, .shape = {p.depth, tokens}, .strides = {p.depth * 2}, .box = {kStepColumns, rows}};
}

}  // namespace tokamak::kernels::cuda
