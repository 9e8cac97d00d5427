// SPDX-License-Identifier: Apache-2.0
// A matmul and the norm before it, for kernels that do both.
#pragma once

#include "tokamak/kernels/cuda/gemm/matmul_problem.h"

namespace tokamak::kernels::cuda {

struct NormedProblem : MatMulProblem {
  std::optional<op::NormMatMul> norm;  ///< None: a plain matmul.
  DType norm_dtype = DType::kBF16;
};

/// Nothing if `desc` is another op, has types that no kernel takes, or a norm whose weights do not
/// fit the registers of a block.
std::optional<NormedProblem> normed_problem(const KernelDesc& desc);

/// matmul_stream and matmul_ring take the problem, plain or normed. Others that take it too stand
/// back, but for matmul_cluster beside the ring: as fast alone, they cost whole steps, since they
/// leave an attention no room beside them.
bool takes_stream(const KernelDesc& desc, int64_t tokens, const device::Device& device);
bool takes_ring(const KernelDesc& desc, int64_t tokens, const device::Device& device);

}  // namespace tokamak::kernels::cuda
