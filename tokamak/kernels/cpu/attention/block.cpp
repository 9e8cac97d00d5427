// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/attention/block.h"

namespace tokamak::kernels::cpu {

const BlockKernels& block_kernels(DType q, DType kv, int64_t head_dim, int64_t rows) {
  bool few = rows <= kFewRows;
  bool pairs = q == DType::kBF16 && kv == DType::kBF16 && head_dim % 2 == 0;
  const BlockKernels* fast = few ? few_rows_avx512_bf16() : many_rows_avx512_bf16();
  if (pairs && fast) return *fast;
  return few ? few_rows_simd() : many_rows_simd();
}

}  // namespace tokamak::kernels::cpu
