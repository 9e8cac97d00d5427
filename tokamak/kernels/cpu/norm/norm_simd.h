// SPDX-License-Identifier: Apache-2.0
// Rows of normalizations, vectorised for the processor at hand; sums in f32.
#pragma once

#include <cstdint>

#include "tokamak/tensor/dtype.h"

namespace tokamak::kernels::cpu {

/// One row of `columns` elements in runs of `group`. Column i has the weight (and bias) i %
/// `weights`, which `group` divides.
struct NormRow {
  DType dtype;  ///< of x, residual, y and sum
  DType weight_dtype;
  const void* x;
  const void* residual = nullptr;  ///< Added to x first, if there is one; then `sum` gets the sum.
  void* sum = nullptr;
  const void* weight;
  const void* bias = nullptr;
  void* y;
  int64_t columns, group, weights;
  float eps;
  bool unit_offset = false;
  bool centered = false;  ///< Layer norm: the mean is taken off.
};
void norm_row(const NormRow& row);

}  // namespace tokamak::kernels::cpu
