// SPDX-License-Identifier: Apache-2.0
// What the matmul tactics share: the problem as device code has it, and a call's arguments.
#pragma once

#include "tokamak/kernels/cuda/device_code.h"
#include "tokamak/op/matmul.h"

namespace tokamak::kernels::cuda {

struct MatMulProblem {
  op::MatMul op;
  DType x = DType::kBF16, w = DType::kBF16, bias = DType::kBF16, y = DType::kBF16;
  int64_t outputs = 0, depth = 0;

  int64_t columns() const { return op.gated ? outputs / 2 : outputs; }
  /// Both factors bf16, w one row an output.
  bool streams() const { return x == DType::kBF16 && w == DType::kBF16 && op.transposed; }
  /// tkm::MatMulProblem
  std::string text() const {
    return construct("MatMulProblem",
                     outputs,
                     depth,
                     op.transposed,
                     op.bias,
                     op.residual,
                     op.gated,
                     op.activation);
  }
};

/// Nothing if `desc` is another op or has types that no kernel takes.
inline std::optional<MatMulProblem> matmul_problem(const KernelDesc& desc) {
  const auto* matmul = desc.op.as<op::MatMul>();
  if (!matmul || !all_supported(desc)) return std::nullopt;
  const TensorType& w = desc.inputs[1];
  MatMulProblem p{.op = *matmul,
                  .x = desc.inputs[0].dtype,
                  .w = w.dtype,
                  .bias = matmul->bias ? desc.inputs[2].dtype : w.dtype,
                  .y = desc.outputs[0].dtype,
                  .outputs = w.shape[matmul->transposed ? 0 : 1].size,
                  .depth = w.shape[matmul->transposed ? 1 : 0].size};
  if (p.columns() <= 0 || p.depth <= 0) return std::nullopt;
  return p;
}

/// tkm::MatMulArgs
struct MatMulArgs {
  const void *x, *w, *bias, *residual;
  void* y;
  int32_t tokens;
};

/// Of `tokens` tokens from `first` on.
inline MatMulArgs matmul_args(const MatMulProblem& problem,
                              const Launch& launch,
                              int64_t first,
                              int64_t tokens) {
  auto at = [](void* data, int64_t elements, DType dtype) -> void* {
    return static_cast<std::byte*>(data) + elements * tensor::dtype_bytes(dtype);
  };
  int64_t y_offset = first * problem.columns();
  return {.x = at(launch.inputs[0].data, first * problem.depth, problem.x),
          .w = launch.inputs[1].data,
          .bias = problem.op.bias ? launch.inputs[2].data : nullptr,
          .residual = problem.op.residual
                          ? at(launch.inputs[problem.op.num_inputs() - 1].data, y_offset, problem.y)
                          : nullptr,
          .y = at(launch.outputs[0].data, y_offset, problem.y),
          .tokens = static_cast<int32_t>(tokens)};
}

}  // namespace tokamak::kernels::cuda
