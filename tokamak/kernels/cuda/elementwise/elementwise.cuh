// SPDX-License-Identifier: Apache-2.0
// elementwise: y = f(x) or f(x, other), `vector` elements a thread.
//   add, mul        other has x's shape, or is one row of `columns` (config.row)
//   scale, softcap  by the parameter `value`
//   activation      y = act(x)
//   gated           y[t, j] = act(x[t, j]) * x[t, columns + j], x [rows, 2 columns]
// Grid: enough blocks of 256 threads for all of y. Limits: vector divides columns (count if there
// is no row) and addresses are aligned to a run of it.
#pragma once

#include "tile/activation.cuh"
#include "tile/async.cuh"

namespace tkm {

enum class Elementwise { add, mul, scale, softcap, activation, gated };

struct ElementwiseConfig {
  Elementwise kind;
  Activation activation;
  bool row;
  int vector;
};

template <ElementwiseConfig C, typename X, typename Other>
TKM_DEVICE float elementwise_value(float x, float other, float value) {
  if constexpr (C.kind == Elementwise::add) return x + other;
  if constexpr (C.kind == Elementwise::mul) return x * other;
  if constexpr (C.kind == Elementwise::scale) return x * value;
  if constexpr (C.kind == Elementwise::softcap) return value * tanhf(x / value);
  if constexpr (C.kind == Elementwise::activation) return activate<C.activation>(x);
  if constexpr (C.kind == Elementwise::gated) return activate<C.activation>(x) * other;
}

template <ElementwiseConfig C, typename X, typename Other>
__global__ void __launch_bounds__(256)
    elementwise(const X* x, const Other* other, X* y, float value, i64 count, i64 columns) {
  start_successors();
  wait_for_predecessors();
  constexpr int V = C.vector;
  i64 i = (static_cast<i64>(blockIdx.x) * 256 + threadIdx.x) * V;
  if (i >= count) return;
  float a[V], b[V] = {};
  if constexpr (C.kind == Elementwise::gated) {
    i64 from = i / columns * 2 * columns + i % columns;
    load_floats<V>(x + from, a);
    load_floats<V>(x + from + columns, b);
  } else {
    load_floats<V>(x + i, a);
    if constexpr (C.kind == Elementwise::add || C.kind == Elementwise::mul)
      load_floats<V>(other + (C.row ? i % columns : i), b);
  }
#pragma unroll
  for (int j = 0; j < V; ++j) a[j] = elementwise_value<C, X, Other>(a[j], b[j], value);
  store_floats<V>(a, y + i);
}

}  // namespace tkm
