// SPDX-License-Identifier: Apache-2.0
// What is asked of a matmul, and what its kernels do to a sum before they store it:
// y[t, j] = act(sum + bias) (* the sum of output F + j, + its bias) + residual[t, j].
#pragma once

#include "tile/activation.cuh"

namespace tkm {

struct MatMulProblem {
  int outputs;  ///< Rows of w; of y only half as many columns if gated.
  int depth;
  bool transposed;
  bool bias;
  bool residual;
  bool gated;
  Activation activation;
  TKM_DEVICE constexpr int columns() const { return gated ? outputs / 2 : outputs; }
};

template <typename X, typename W, typename Bias, typename Y>
struct MatMulArgs {
  const X* x;
  const W* w;
  const Bias* bias;
  const Y* residual;
  Y* y;
  int tokens;
};

/// The result without the residual; `up` counts only if gated.
template <MatMulProblem P>
TKM_DEVICE float finish(float sum, float up) {
  float value = activate<P.activation>(sum);
  return P.gated ? value * up : value;
}

}  // namespace tkm
