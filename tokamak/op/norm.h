// SPDX-License-Identifier: Apache-2.0
// Normalizations over the last dimension, whole or in groups (one group a head: qk-norm).
#pragma once

#include "tokamak/op/op.h"

namespace tokamak::op {

/// y = x * rsqrt(mean(x^2) + eps) * weight over runs of `group` columns. Zhang & Sennrich,
/// arXiv:1910.07467. weight is [C] where C divides x's columns and is repeated over them; group 0
/// means C.
struct RmsNorm {
  static constexpr std::string_view kName = "rms_norm";
  static constexpr bool kHasState = false;
  float eps = 1e-6f;
  bool unit_offset = false;  ///< Gemma stores weight - 1.
  int64_t group = 0;
  static constexpr auto kFields = std::tuple{Field{"eps", &RmsNorm::eps},
                                             Field{"unit_offset", &RmsNorm::unit_offset},
                                             Field{"group", &RmsNorm::group}};
  static Result<Types> infer(const RmsNorm&, TypeSpan inputs);
  static void reference(const RmsNorm&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// (y, s) with s = x + residual, y = rms_norm(s, weight). Inputs x, residual, weight.
struct AddRmsNorm {
  static constexpr std::string_view kName = "add_rms_norm";
  static constexpr bool kHasState = false;
  float eps = 1e-6f;
  bool unit_offset = false;
  static constexpr auto kFields =
      std::tuple{Field{"eps", &AddRmsNorm::eps}, Field{"unit_offset", &AddRmsNorm::unit_offset}};
  static Result<Types> infer(const AddRmsNorm&, TypeSpan inputs);
  static void reference(const AddRmsNorm&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// y = (x - mean) * rsqrt(var + eps) * weight + bias over runs of `group` columns. Ba et al.,
/// arXiv:1607.06450. Inputs x, weight, and bias if `bias`; shapes as for RmsNorm.
struct LayerNorm {
  static constexpr std::string_view kName = "layer_norm";
  static constexpr bool kHasState = false;
  float eps = 1e-5f;
  bool bias = false;
  int64_t group = 0;
  static constexpr auto kFields = std::tuple{Field{"eps", &LayerNorm::eps},
                                             Field{"bias", &LayerNorm::bias},
                                             Field{"group", &LayerNorm::group}};
  static Result<Types> infer(const LayerNorm&, TypeSpan inputs);
  static void reference(const LayerNorm&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

}  // namespace tokamak::op
