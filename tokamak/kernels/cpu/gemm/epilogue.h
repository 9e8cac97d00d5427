// SPDX-License-Identifier: Apache-2.0
// From sums to results: bias, activation, gate, residual, rounding.
#pragma once

#include "tokamak/kernels/kernel.h"
#include "tokamak/op/matmul.h"

namespace tokamak::kernels::cpu {

/// What a matmul does with its sums, bound to the buffers of one launch.
struct Epilogue {
  op::ActivationKind activation = op::ActivationKind::kNone;
  bool gated = false;
  DType bias_dtype = DType::kF32, y_dtype = DType::kF32;
  const void* bias = nullptr;      ///< [N], gate then up if gated
  const void* residual = nullptr;  ///< as y
  void* y = nullptr;
  int64_t columns = 0;  ///< of y

  static Epilogue bind(const op::MatMul& matmul, const Launch& launch);
};

/// A tile of sums: row i at sums + i * stride; the up halves of a gated matmul at sums + up_offset.
struct SumTile {
  const float* sums;
  int64_t stride, up_offset;
  int64_t first_row, num_rows;
  int64_t first_column, num_columns;
};
void finish_tile(const Epilogue& epilogue, const SumTile& tile);

}  // namespace tokamak::kernels::cpu
