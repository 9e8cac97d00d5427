// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/gemm/micro_kernel.h"

namespace tokamak::kernels::cpu {

const MicroKernels& micro_kernels(DType x, DType w) {
  const MicroKernels* pairs = micro_kernels_avx512_bf16();
  if (pairs && x == DType::kBF16 && w == DType::kBF16) return *pairs;
  return micro_kernels_simd(x, w);
}

}  // namespace tokamak::kernels::cpu
