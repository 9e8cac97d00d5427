// SPDX-License-Identifier: Apache-2.0
// What matmul_cluster and matmul_tma share: stages of 64 columns of w and x in shared memory, as
// tensor maps with 128-byte swizzle write them.
#pragma once

#include "gemm/epilogue.cuh"
#include "tile/wgmma.cuh"

namespace tkm {

constexpr int kStepColumns = 64;

/// ROWS rows of w of tile `tile`, columns of step `step`; if gated, groups of 8 rows are gate, up,
/// gate, up ... of the tile's ROWS / 2 results.
template <MatMulProblem P, int ROWS>
TKM_DEVICE void load_weight_rows(
    void* to, const TensorMap* map, int tile, int step, Barrier* full, u64 policy) {
  if constexpr (P.gated) {
    tensor_load(to, map, step * kStepColumns, 0, 0, tile * (ROWS / 16), full, policy);
  } else {
    tensor_load(to, map, step * kStepColumns, tile * ROWS, full, policy);
  }
}

/// d[64 x N] += the product of 64 rows of a and N rows of b over a step.
template <int N>
TKM_DEVICE void multiply_step(float (&d)[N / 2], const u8* a_rows, const u8* b_rows) {
  u64 a = operand_descriptor(a_rows), b = operand_descriptor(b_rows);
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < kStepColumns / 16; ++k)
    wgmma<N>(d, a + k * kNextColumns, b + k * kNextColumns);
  wgmma_commit();
}

}  // namespace tkm
