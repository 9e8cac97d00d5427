// SPDX-License-Identifier: Apache-2.0
// rope: rotates heads by their token's position, after an RMS norm of each head (norm), and appends
// k and v to the cache (append): x is then qkv [T, heads + 2 kv_heads, head_dim], y the queries.
// A warp takes a head; lane l the pairs l, l + 32, ... of elements that rotate together, and of the
// rest neighbours. Angles are reduced in f64, since positions reach a million.
// Grid: x = rows, y = heads in blocks of kRopeWarps warps. Padded rows write their queries only.
#pragma once

#include "tile/batch.cuh"
#include "tile/reduce.cuh"

namespace tkm {

constexpr int kRopeWarps = 4;

struct RopeConfig {
  bool append;
  bool norm;
  bool unit_offset;
  bool interleaved;
  int heads;  ///< Of queries; of all of x without append.
  int kv_heads;
  int head_dim;
  int rotary_dim;
};

struct RopeParams {
  float attention_factor;
  float eps;
  float frequencies[128];
};

/// Indices of the elements of pair p; the second may lie outside an odd head.
template <RopeConfig C>
TKM_DEVICE void pair_elements(int p, int& first, int& second) {
  bool apart = !C.interleaved && p < C.rotary_dim / 2;
  first = apart ? p : 2 * p;
  second = apart ? p + C.rotary_dim / 2 : 2 * p + 1;
}

template <RopeConfig C, typename X, typename W, typename Kv>
__global__ void __launch_bounds__(kRopeWarps * 32) rope(const X* x,
                                                        const i32* positions,
                                                        const W* q_norm,
                                                        const W* k_norm,
                                                        X* y,
                                                        const __grid_constant__ RopeParams params,
                                                        Batch batch,
                                                        Cache cache) {
  constexpr int kPairs = (C.head_dim + 1) / 2, kSteps = (kPairs + 31) / 32;
  constexpr int kHeads = C.heads + (C.append ? 2 * C.kv_heads : 0);
  __shared__ int scratch;
  start_successors();
  wait_for_predecessors();
  int row = static_cast<int>(blockIdx.x);
  int head = static_cast<int>(blockIdx.y) * kRopeWarps + warp_id();
  int sequence = 0;
  if constexpr (C.append) sequence = sequence_of_row<kRopeWarps * 32>(batch, row, &scratch);
  if (head >= kHeads) return;
  bool key = C.append && head >= C.heads && head < C.heads + C.kv_heads;
  bool value = C.append && head >= C.heads + C.kv_heads;

  const X* from = x + (static_cast<i64>(row) * kHeads + head) * C.head_dim;
  float a[kSteps], b[kSteps];
  float square = 0;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    int p = lane_id() + 32 * s, first, second;
    pair_elements<C>(p, first, second);
    a[s] = first < C.head_dim ? to_float(from[first]) : 0.0f;
    b[s] = first < C.head_dim && second < C.head_dim ? to_float(from[second]) : 0.0f;
    square += a[s] * a[s] + b[s] * b[s];
  }
  if constexpr (C.norm) {
    if (!value) {
      const W* weight = key ? k_norm : q_norm;
      float scale = rsqrtf(warp_sum(square) / C.head_dim + params.eps);
      constexpr float kOffset = C.unit_offset ? 1.0f : 0.0f;
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        int p = lane_id() + 32 * s, first, second;
        pair_elements<C>(p, first, second);
        if (first < C.head_dim) a[s] *= scale * (to_float(weight[first]) + kOffset);
        if (second < C.head_dim) b[s] *= scale * (to_float(weight[second]) + kOffset);
      }
    }
  }
  if constexpr (C.rotary_dim > 0) {
    if (!value) {
      float position = static_cast<float>(positions[row]);
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        int p = lane_id() + 32 * s;
        if (p >= C.rotary_dim / 2) continue;
        // Half turns between -1 and 1 of the rounded angle that the reference takes.
        double turns = static_cast<double>(position * params.frequencies[p]) * 0.31830988618379067;
        turns -= 2.0 * rint(turns * 0.5);
        float sine, cosine;
        sincospif(static_cast<float>(turns), &sine, &cosine);
        sine *= params.attention_factor;
        cosine *= params.attention_factor;
        float rotated = a[s] * cosine - b[s] * sine;
        b[s] = b[s] * cosine + a[s] * sine;
        a[s] = rotated;
      }
    }
  }

  auto write = [&]<typename T>(T* to) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      int p = lane_id() + 32 * s, first, second;
      pair_elements<C>(p, first, second);
      if (first < C.head_dim) to[first] = from_float<T>(a[s]);
      if (first < C.head_dim && second < C.head_dim) to[second] = from_float<T>(b[s]);
    }
  };
  if (!key && !value) {
    write(y + (static_cast<i64>(row) * C.heads + head) * C.head_dim);
  } else if (sequence >= 0) {
    int position = batch.contexts[sequence] + row - batch.first_rows[sequence];
    i64 page =
        batch.page_table[static_cast<i64>(sequence) * batch.max_pages + position / kPageTokens];
    int kv_head = head - C.heads - (value ? C.kv_heads : 0);
    i64 slot =
        (static_cast<i64>(value ? C.kv_heads : 0) + kv_head) * kPageTokens + position % kPageTokens;
    write(reinterpret_cast<Kv*>(cache.data + page * cache.page_bytes) + slot * C.head_dim);
  }
}

}  // namespace tkm
