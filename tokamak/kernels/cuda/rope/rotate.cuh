// SPDX-License-Identifier: Apache-2.0
// A head in the registers of a warp: lane l has the pairs l, l + 32, ... of elements that rotate
// together, and of the rest neighbours. Norm, rotation by a position, stores.
#pragma once

#include "tile/reduce.cuh"

namespace tkm {

struct RopeConfig {
  bool append;
  bool norm;
  bool unit_offset;
  bool interleaved;
  int heads;  ///< Of queries; of all of x without append.
  int kv_heads;
  int head_dim;
  int rotary_dim;
  bool by_length;  ///< Positions of long sequences are given as -1 - position.
  /// Pairs of a lane.
  TKM_DEVICE constexpr int steps() const { return ((head_dim + 1) / 2 + 31) / 32; }
};

struct RopeParams {
  float attention_factor;
  float eps;
  float frequencies[128];
  float long_frequencies[128];  ///< Of long sequences, by_length.
};

/// Sine and cosine of this lane's pairs.
template <RopeConfig C>
struct Turns {
  float sine[C.steps()], cosine[C.steps()];
};

/// Angles are reduced in f64, since positions reach a million.
template <RopeConfig C>
TKM_DEVICE Turns<C> turns_at(int given, const RopeParams& params) {
  Turns<C> out;
  const bool in_long = C.by_length && given < 0;
  const float position = static_cast<float>(in_long ? -1 - given : given);
#pragma unroll
  for (int s = 0; s < C.steps(); ++s) {
    int p = lane_id() + 32 * s;
    if (p >= C.rotary_dim / 2) continue;
    // Half turns between -1 and 1 of the rounded angle that the reference takes.
    const float frequency = in_long ? params.long_frequencies[p] : params.frequencies[p];
    double turns = static_cast<double>(position * frequency) * 0.31830988618379067;
    turns -= 2.0 * rint(turns * 0.5);
    sincospif(static_cast<float>(turns), &out.sine[s], &out.cosine[s]);
    out.sine[s] *= params.attention_factor;
    out.cosine[s] *= params.attention_factor;
  }
  return out;
}

template <RopeConfig C>
struct Head {
  float a[C.steps()], b[C.steps()];  ///< First and second elements of the pairs.

  /// Indices of the elements of pair p; the second may lie outside an odd head.
  TKM_DEVICE static void elements(int p, int& first, int& second) {
    bool apart = !C.interleaved && p < C.rotary_dim / 2;
    first = apart ? p : 2 * p;
    second = apart ? p + C.rotary_dim / 2 : 2 * p + 1;
  }

  template <typename X>
  TKM_DEVICE void load(const X* from) {
#pragma unroll
    for (int s = 0; s < C.steps(); ++s) {
      int first, second;
      elements(lane_id() + 32 * s, first, second);
      a[s] = first < C.head_dim ? to_float(from[first]) : 0.0f;
      b[s] = first < C.head_dim && second < C.head_dim ? to_float(from[second]) : 0.0f;
    }
  }

  /// By the whole warp.
  template <typename W>
  TKM_DEVICE void norm(const W* weight, float eps) {
    float square = 0;
#pragma unroll
    for (int s = 0; s < C.steps(); ++s) square += a[s] * a[s] + b[s] * b[s];
    float scale = rsqrtf(warp_sum(square) / C.head_dim + eps);
    constexpr float kOffset = C.unit_offset ? 1.0f : 0.0f;
#pragma unroll
    for (int s = 0; s < C.steps(); ++s) {
      int first, second;
      elements(lane_id() + 32 * s, first, second);
      if (first < C.head_dim) a[s] *= scale * (to_float(weight[first]) + kOffset);
      if (second < C.head_dim) b[s] *= scale * (to_float(weight[second]) + kOffset);
    }
  }

  TKM_DEVICE void rotate(const Turns<C>& turns) {
#pragma unroll
    for (int s = 0; s < C.steps(); ++s) {
      if (lane_id() + 32 * s >= C.rotary_dim / 2) continue;
      float rotated = a[s] * turns.cosine[s] - b[s] * turns.sine[s];
      b[s] = b[s] * turns.cosine[s] + a[s] * turns.sine[s];
      a[s] = rotated;
    }
  }

  template <typename T>
  TKM_DEVICE void store(T* to) const {
#pragma unroll
    for (int s = 0; s < C.steps(); ++s) {
      int first, second;
      elements(lane_id() + 32 * s, first, second);
      if (first < C.head_dim) to[first] = from_float<T>(a[s]);
      if (first < C.head_dim && second < C.head_dim) to[second] = from_float<T>(b[s]);
    }
  }
};

}  // namespace tkm
