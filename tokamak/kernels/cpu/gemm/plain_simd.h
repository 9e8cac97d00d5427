// SPDX-License-Identifier: Apache-2.0
// Sums of one row of x with some outputs of a row-major matrix.
#pragma once

#include <cstdint>

#include "tokamak/tensor/dtype.h"

namespace tokamak::kernels::cpu {

/// sums[j] = x . w of output first + j, in f32; w is [outputs, depth] if transposed, else [depth,
/// outputs].
struct PlainSums {
  DType x_dtype, w_dtype;
  const void *x, *w;
  int64_t depth, outputs;
  bool transposed;
  int64_t first, count;
  float* sums;
};
void plain_sums(const PlainSums& call);

}  // namespace tokamak::kernels::cpu
