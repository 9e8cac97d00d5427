// SPDX-License-Identifier: Apache-2.0
// norm: RMS and layer norms over runs of `group` columns, optionally of x + residual, whose sum is
// stored too. The weights (and the bias), [weights] repeated over the columns, are loaded before
// the predecessors end; a run stays in registers.
// Grid: x = rows, y = runs of a row; a block of `threads` a run, each with `vector` neighbouring
// columns at a time. Limits: vector divides group and weights.
#pragma once

#include "tile/reduce.cuh"

namespace tkm {

struct NormConfig {
  bool layer;  ///< Subtract the mean.
  bool residual;
  bool bias;
  bool unit_offset;
  int columns;
  int weights;
  int group;
  int vector;
  int threads;
};

template <NormConfig C, typename X, typename W>
__global__ void __launch_bounds__(C.threads)
    norm(const X* x, const X* residual, const W* weight, const W* bias, X* y, X* sum, float eps) {
  constexpr int V = C.vector, kStep = C.threads * V, kRuns = (C.group + kStep - 1) / kStep;
  __shared__ float scratch[2][C.threads / 32];
  start_successors();
  int first = static_cast<int>(threadIdx.x) * V, begin = static_cast<int>(blockIdx.y) * C.group;
  auto valid = [&](int run) {
    return (run + 1) * kStep <= C.group || first + run * kStep < C.group;
  };
  float w[kRuns][V], b[kRuns][V], a[kRuns][V];
#pragma unroll
  for (int run = 0; run < kRuns; ++run) {
    if (!valid(run)) continue;
    int column = (begin + first + run * kStep) % C.weights;
    load_floats<V>(weight + column, w[run]);
    if constexpr (C.bias) load_floats<V>(bias + column, b[run]);
  }
  wait_for_predecessors();
  i64 row = static_cast<i64>(blockIdx.x) * C.columns + begin + first;
#pragma unroll
  for (int run = 0; run < kRuns; ++run) {
    if (valid(run)) {
      load_floats<V>(x + row + run * kStep, a[run]);
      if constexpr (C.residual) {
        float r[V];
        load_floats<V>(residual + row + run * kStep, r);
#pragma unroll
        for (int j = 0; j < V; ++j) a[run][j] += r[j];
        store_floats<V>(a[run], sum + row + run * kStep);
      }
    } else {
#pragma unroll
      for (int j = 0; j < V; ++j) a[run][j] = 0;
    }
  }
  float mean = 0;
  if constexpr (C.layer) {
#pragma unroll
    for (int run = 0; run < kRuns; ++run) {
#pragma unroll
      for (int j = 0; j < V; ++j) mean += a[run][j];
    }
    mean = block_sum<C.threads>(mean, scratch[0]) / C.group;
  }
  float square = 0;
#pragma unroll
  for (int run = 0; run < kRuns; ++run) {
#pragma unroll
    for (int j = 0; j < V; ++j) {
      float d = a[run][j] - mean;
      square += valid(run) ? d * d : 0.0f;
    }
  }
  float scale = rsqrtf(block_sum<C.threads>(square, scratch[1]) / C.group + eps);
#pragma unroll
  for (int run = 0; run < kRuns; ++run) {
    if (!valid(run)) continue;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      float factor = w[run][j] + (C.unit_offset ? 1.0f : 0.0f);
      a[run][j] = (a[run][j] - mean) * scale * factor + (C.bias ? b[run][j] : 0.0f);
    }
    store_floats<V>(a[run], y + row + run * kStep);
  }
}

}  // namespace tkm
