// SPDX-License-Identifier: Apache-2.0
// Elementwise nonlinearities, alone and as the epilogue of other ops.
#pragma once

#include "tokamak/op/op.h"

namespace tokamak::op {

enum class ActivationKind {
  kNone,
  kRelu,
  kSilu,      ///< x * sigmoid(x)
  kGelu,      ///< x * Phi(x), by erf
  kGeluTanh,  ///< The tanh approximation of gelu (GPT-2's gelu_new, Gemma's gelu_pytorch_tanh)
};
constexpr auto enum_names(ActivationKind) {
  return std::array<std::string_view, 5>{"none", "relu", "silu", "gelu", "gelu_tanh"};
}
float apply(ActivationKind kind, float x);

/// y = f(x), any shape. Hendrycks & Gimpel, arXiv:1606.08415 (gelu); Elfwing et al.,
/// arXiv:1702.03118 (silu).
struct Activation {
  static constexpr std::string_view kName = "activation";
  static constexpr bool kHasState = false;
  ActivationKind kind = ActivationKind::kRelu;
  static constexpr auto kFields = std::tuple{Field{"kind", &Activation::kind}};
  static Result<Types> infer(const Activation&, TypeSpan inputs);
  static void reference(const Activation&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// y[t, j] = f(x[t, j]) * x[t, F + j] for x [T, 2F]: the middle of a gated MLP. Shazeer,
/// arXiv:2002.05202.
struct GatedActivation {
  static constexpr std::string_view kName = "gated_activation";
  static constexpr bool kHasState = false;
  ActivationKind kind = ActivationKind::kSilu;
  static constexpr auto kFields = std::tuple{Field{"kind", &GatedActivation::kind}};
  static Result<Types> infer(const GatedActivation&, TypeSpan inputs);
  static void reference(const GatedActivation&,
                        const BatchView&,
                        TensorSpan inputs,
                        TensorSpan outputs);
};

}  // namespace tokamak::op
