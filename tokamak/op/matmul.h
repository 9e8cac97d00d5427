// SPDX-License-Identifier: Apache-2.0
// The matrix product and everything that a kernel can do to its result before storing it.
#pragma once

#include "tokamak/op/activation.h"
#include "tokamak/op/norm.h"

namespace tokamak::op {

/// y = f(x @ w + bias) + residual, accumulated in fp32, for x [T, K].
/// Inputs: x, w, then bias [N] if `bias`, then residual (y's type) if `residual`.
struct MatMul {
  static constexpr std::string_view kName = "matmul";
  static constexpr bool kHasState = false;
  bool transposed =
      false;  ///< w is [N, K], one row an output, as checkpoints store linear layers; else [K, N].
  bool bias = false;
  bool residual = false;
  ActivationKind activation = ActivationKind::kNone;
  /// w holds 2F outputs: y [T, F] = activation(x @ w[:F]) * (x @ w[F:]), as in a gated MLP.
  bool gated = false;
  bool float_output = false;  ///< y is f32 whatever x is (logits).
  static constexpr auto kFields = std::tuple{Field{"transposed", &MatMul::transposed},
                                             Field{"bias", &MatMul::bias},
                                             Field{"residual", &MatMul::residual},
                                             Field{"activation", &MatMul::activation},
                                             Field{"gated", &MatMul::gated},
                                             Field{"float_output", &MatMul::float_output}};
  static Result<Types> infer(const MatMul&, TypeSpan inputs);
  static void reference(const MatMul&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
  size_t num_inputs() const { return 2u + (bias ? 1 : 0) + (residual ? 1 : 0); }
};

/// matmul of rms_norm(x, norm), norm [K], for targets whose products norm what they multiply.
/// Inputs: those of the matmul, then norm.
struct NormMatMul : MatMul {
  static constexpr std::string_view kName = "norm_matmul";
  float eps = 1e-6f;
  bool unit_offset = false;  ///< As of RmsNorm.
  static constexpr auto kFields = std::tuple_cat(
      MatMul::kFields,
      std::tuple{Field{"eps", &NormMatMul::eps}, Field{"unit_offset", &NormMatMul::unit_offset}});
  NormMatMul() = default;
  NormMatMul(const RmsNorm& norm, const MatMul& matmul);
  RmsNorm norm() const;
  size_t num_inputs() const { return MatMul::num_inputs() + 1; }
  static Result<Types> infer(const NormMatMul&, TypeSpan inputs);
  static void reference(const NormMatMul&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

}  // namespace tokamak::op
