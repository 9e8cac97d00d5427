// SPDX-License-Identifier: Apache-2.0
// The nonlinearities of op/activation.h.
#pragma once

#include "tile/types.cuh"

namespace tkm {

enum class Activation { none, relu, silu, gelu, gelu_tanh };

template <Activation KIND>
TKM_DEVICE float activate(float x) {
  if constexpr (KIND == Activation::relu) {
    return x < 0.0f ? 0.0f : x;  // Keeps NaN.
  } else if constexpr (KIND == Activation::silu) {
    return __fdividef(x, 1.0f + __expf(-x));
  } else if constexpr (KIND == Activation::gelu) {
    return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
  } else if constexpr (KIND == Activation::gelu_tanh) {
    return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
  } else {
    return x;
  }
}

}  // namespace tkm
