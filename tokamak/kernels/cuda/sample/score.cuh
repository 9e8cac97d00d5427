// SPDX-License-Identifier: Apache-2.0
// score: the log-probabilities, by the model's logits, of a chosen or given token and of the best
// ones (the larger first, of equal ones the lower id), as runtime::sample() on the host; a count of
// -1 where the host must do it: a NaN or +infinity, nothing finite, no token, or more near the k-th
// best than there is room for.
//
// No row is sorted: the k best are found among the few above the k-th best of the threads' maxima.
// The sum of exponentials is one of integers, the same in any order.
//
// Grid: x = those that ask, a block each; 512 threads. WIDTH 4 needs columns % 4 == 0.
#pragma once

#include "sample/row.cuh"

namespace tkm {

constexpr int kMostScores = 20;

/// As the host writes it: kernels/cuda/sample/score.h.
struct ScoreRow {
  i32 row;    // Of the logits; the chosen token is at that place.
  i32 given;  // The token to be scored; -1: the chosen one.
  i32 count;  // Best tokens that are asked for, at most kMostScores.
};
/// As the host reads it.
struct Score {
  i32 count;  // Of the best.
  float logprob;
  i32 tokens[kMostScores];
  float logprobs[kMostScores];
};

struct ScoreShared {
  u64 room[kRowRoom];
  u64 of_warp[kRowWarps];
  float maxima[kRowThreads];
  float found;
  int count;
};

/// Logits less this, as the host computes it, are log-probabilities.
struct Norm {
  double value;
  TKM_DEVICE float logprob(float logit) const {
    return fmaxf(static_cast<float>(static_cast<double>(logit) - value), -9999.0f);
  }
};

/// The number of best tokens, which are in `score`; -1: there is no room.
template <int WIDTH>
TKM_DEVICE int score_best(const float* values,
                          int columns,
                          int k,
                          float own_max,
                          const Norm& norm,
                          ScoreShared& shared,
                          Score* score) {
  int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) shared.count = 0;
  float bound = bound_of_best(k, own_max, shared.maxima, &shared.found);
  for_row<WIDTH>(values, columns, [&](float value, int index) {
    if (value < bound) return;
    int at = atomicAdd(&shared.count, 1);
    if (at < kRowRoom) shared.room[at] = best_key(value, static_cast<u32>(index));
  });
  __syncthreads();
  int count = shared.count;
  if (count > kRowRoom) return -1;
#pragma unroll 1
  for (int i = thread; i < count; i += kRowThreads) {
    u64 mine = shared.room[i];
    int rank = 0;
#pragma unroll 4
    for (int j = 0; j < count; ++j) rank += shared.room[j] > mine;
    if (rank >= k) continue;
    i32 token = index_of_key(mine);
    score->tokens[rank] = token;
    score->logprobs[rank] = norm.logprob(values[token]);
  }
  return imin(count, k);
}

template <int WIDTH>
__global__ void __launch_bounds__(kRowThreads) score(
    const float* logits, const ScoreRow* asked, const i32* tokens, Score* scores, int columns) {
  __shared__ ScoreShared shared;
  wait_for_predecessors();
  start_successors();
  const ScoreRow ask = asked[blockIdx.x];
  const float* values = logits + i64{ask.row} * columns;
  Score* out = scores + blockIdx.x;
  const RowMax max = row_max<WIDTH>(values, columns, shared.maxima);
  const i32 token = ask.given >= 0 ? ask.given : tokens[ask.row];
  if (!max.usable || token < 0) {
    if (threadIdx.x == 0) out->count = -1;
    return;
  }
  constexpr float kLog2E = 1.44269504088896340736f;
  u64 sum = 0;
  for_row<WIDTH>(values, columns, [&](float value, int) {
    sum += weight_units(exp2f((value - max.all) * kLog2E));
  });
  sum = block_total(sum, shared.of_warp);
  const Norm norm{static_cast<double>(max.all) + log(static_cast<double>(sum) * 0x1p-44)};
  int count = 0;
  if (ask.count > 0)
    count = score_best<WIDTH>(values, columns, ask.count, max.own, norm, shared, out);
  if (threadIdx.x != 0) return;
  out->count = count;
  out->logprob = norm.logprob(values[token]);
}

}  // namespace tkm
