// SPDX-License-Identifier: Apache-2.0
// The heads of one token: normalized, rotated, converted and stored.
#pragma once

#include <cstdint>

#include "tokamak/tensor/dtype.h"

namespace tokamak::kernels::cpu {

/// `num_heads` heads that lie one after another at `from`, and at `to` every `to_stride_bytes`.
struct TokenHeads {
  DType from_dtype, to_dtype;
  const void* from;
  void* to;
  int64_t num_heads, head_dim, to_stride_bytes;
  /// Rotation: pairs of elements and the cosine and sine of each; none for values.
  int64_t num_pairs = 0;
  bool interleaved = false;
  const float *cosines = nullptr, *sines = nullptr;
  /// RMS norm over each head first, with head_dim weights; null for none.
  const float* norm_weight = nullptr;
  float eps = 0;
  float* scratch;  ///< head_dim floats of this thread.
};
void store_heads(const TokenHeads& heads);

}  // namespace tokamak::kernels::cpu
