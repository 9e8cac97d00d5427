// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/attention/block.h"

namespace tokamak::kernels::cpu {
const BlockKernels* block_kernels_avx512_bf16() {
  return nullptr;
}
}  // namespace tokamak::kernels::cpu
