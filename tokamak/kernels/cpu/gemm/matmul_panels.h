// SPDX-License-Identifier: Apache-2.0
// What the tactics on packed weights share: the problem, its micro-kernels, its epilogue.
#pragma once

#include "tokamak/kernels/cpu/gemm/epilogue.h"
#include "tokamak/kernels/cpu/gemm/micro_kernel.h"
#include "tokamak/kernels/cpu/gemm/panel_layout.h"
#include "tokamak/kernels/cpu/rows.h"

namespace tokamak::kernels::cpu {

/// A matmul with a weight in panel_layout().
class PanelMatMul : public Kernel {
 public:
  PanelMatMul(const KernelDesc& desc, device::Device& device)
      : device_(device),
        matmul_(*desc.op.as<op::MatMul>()),
        x_type_(desc.inputs[0]),
        shape_(panel_shape(desc)),
        micro_(micro_kernels(desc.inputs[0].dtype, desc.inputs[1].dtype)) {}

  /// Whether the tactics take the problem.
  static bool claims(const KernelDesc& desc) {
    const auto* matmul = desc.op.as<op::MatMul>();
    return matmul && matmul->transposed && desc.weights.size() > 1 && desc.weights[1] &&
           all_supported(desc) && desc.inputs[1].shape[0].size > 0 &&
           desc.inputs[1].shape[1].size > 0;
  }

 protected:
  int64_t packed_bytes(int64_t tokens) const {
    return round_up(tokens * shape_.steps() * micro_.words_per_step * 4, 64);
  }
  const void* row(const Launch& launch, int64_t token) const {
    const TensorView& x = launch.inputs[0];
    return offset(x.data, token * shape_.depth * tensor::dtype_bytes(x.dtype));
  }
  const std::byte* panel(const Launch& launch, int64_t index) const {
    return offset(launch.inputs[1].data, index * shape_.panel_bytes());
  }
  /// `num_tokens` tokens from `first_token`, packed at `x`, times one panel.
  void run_tile(const Epilogue& epilogue,
                const void* x,
                const std::byte* weights,
                int64_t panel,
                int64_t first_token,
                int64_t num_tokens,
                const std::byte* prefetch,
                int64_t prefetch_lines) const {
    alignas(64) float sums[kMaxTileTokens * kPanelOutputs];
    micro_.tile[static_cast<size_t>(num_tokens)]({.x = x,
                                                  .weights = weights,
                                                  .steps = shape_.steps(),
                                                  .sums = sums,
                                                  .prefetch = prefetch,
                                                  .prefetch_lines = prefetch_lines});
    int64_t column = panel * shape_.panel_columns();
    finish_tile(epilogue,
                {.sums = sums,
                 .stride = kPanelOutputs,
                 .up_offset = kPanelOutputs / 2,
                 .first_row = first_token,
                 .num_rows = num_tokens,
                 .first_column = column,
                 .num_columns = std::min(shape_.panel_columns(), shape_.columns() - column)});
  }

  device::Device& device_;
  op::MatMul matmul_;
  TensorType x_type_;
  PanelShape shape_;
  const MicroKernels& micro_;
};

}  // namespace tokamak::kernels::cpu
