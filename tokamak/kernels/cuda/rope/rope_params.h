// SPDX-License-Identifier: Apache-2.0
// What kernels that rotate heads are told.
#pragma once

#include <algorithm>

#include "tokamak/kernels/cuda/device_code.h"
#include "tokamak/op/attention.h"

namespace tokamak::kernels::cuda {

/// tkm::RopeParams
struct RopeParams {
  float attention_factor, eps;
  float frequencies[128], long_frequencies[128];
};
constexpr int64_t kMaxRotaryDim = 2 * static_cast<int64_t>(std::size(RopeParams{}.frequencies));

inline RopeParams rope_params(const op::RotarySettings& settings, float eps) {
  RopeParams params{.attention_factor = settings.attention_factor,
                    .eps = eps,
                    .frequencies = {},
                    .long_frequencies = {}};
  std::ranges::copy(op::rotary_frequencies(settings), params.frequencies);
  std::ranges::copy(op::rotary_frequencies(settings, /*long_sequence=*/true),
                    params.long_frequencies);
  return params;
}

/// tkm::RopeConfig
inline std::string rope_config(const op::RopeAppend& op, bool append) {
  return construct("RopeConfig",
                   append,
                   op.qk_norm,
                   op.unit_offset,
                   op.interleaved,
                   op.num_heads,
                   op.num_kv_heads,
                   op.head_dim,
                   op.rotary_dim,
                   !op.long_factors.empty());
}

}  // namespace tokamak::kernels::cuda
