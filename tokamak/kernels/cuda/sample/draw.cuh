// SPDX-License-Identifier: Apache-2.0
// draw: a token for each that asks, from its row of logits: the best one (the lowest id of those
// that tie), or one by chance after temperature, then top-k, top-p and min-p, each on what the one
// before left, as runtime::sample() on the host; -1 where the host must choose.
//
// No row is sorted. Weights are exp((logit - max) / temperature) in [0, 1]. The k-th best logit is
// found among the few above the k-th best of the threads' maxima. Top-p's smallest weight is found
// among those of one bucket of a histogram of masses by the upper bits of a weight, into which goes
// only what top-p may need: weights up to (1 - top_p) / columns of the mass hold together no more
// than 1 - top_p of it, so none of them is kept. Sums are integers (units of 2^-44), the same in
// any order, so that a row's token never depends on timing. The draw walks ids in ascending order:
// sums of 16 segments, then of 16 parts of the segment that holds the draw, then of tokens.
//
// Left to the host (-1): a NaN or +infinity, nothing finite, more near the k-th best or in a bucket
// than there is room for, and weights that tie across the border of top-p.
//
// Grid: x = those that ask, a block each; 512 threads. WIDTH 4 needs columns % 4 == 0.
#pragma once

#include "sample/row.cuh"

namespace tkm {

/// As the host writes it: kernels/cuda/sample/draw.h.
struct DrawRow {
  double uniform;  // In [0, 1).
  float scale;     // log2(e) / temperature; 0: the best token.
  float top_p, min_p;
  i32 top_k;  // 0: all.
  i32 row;    // Of the logits; -1 - row: of the adjusted ones.
  i32 place;  // Of the token.
};

// Buckets of 1.6 %, from the smallest weight that is not 0 in units of 2^-44 up to 1.
constexpr int kBucketShift = 17;
constexpr u32 kFirstBucket = 0x29800000u >> kBucketShift;
constexpr int kDrawBuckets = static_cast<int>((0x3f800000u >> kBucketShift) - kFirstBucket) + 1;

TKM_DEVICE int draw_bucket(float weight) {
  return static_cast<int>((__float_as_uint(weight) >> kBucketShift) - kFirstBucket);
}

/// What of a row may be drawn: the weight of what may not is 0.
struct Kept {
  float max, scale;
  float least_logit;   // Top-k's.
  float least_weight;  // Top-p's and min-p's.

  TKM_DEVICE float weight(float logit) const {
    if (logit < least_logit) return 0;
    float w = exp2f((logit - max) * scale);
    return w < least_weight ? 0.0f : w;
  }
};

struct DrawShared {
  union {
    u64 masses[kDrawBuckets];
    float maxima[kRowThreads];
  };
  float room[kRowRoom];
  u64 of_warp[kRowWarps];
  u64 above;  // Mass above the bucket.
  float found;
  int count, bucket, border;
};

/// The k-th largest of `values`, or a bound that fewer than k reach; false if there is no room.
template <int WIDTH>
TKM_DEVICE bool kth_logit(
    const float* values, int columns, int k, float own_max, DrawShared& shared, float& least) {
  int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) shared.count = 0;
  float bound = bound_of_best(k, own_max, shared.maxima, &shared.found);
  for_row<WIDTH>(values, columns, [&](float value, int) {
    if (value < bound) return;
    int at = atomicAdd(&shared.count, 1);
    if (at < kRowRoom) shared.room[at] = value;
  });
  __syncthreads();
  int count = shared.count;
  least = bound;
  if (count <= k) return true;
  if (count > kRowRoom) return false;
#pragma unroll 1
  for (int i = thread; i < count; i += kRowThreads) {
    float mine = shared.room[i];
    int greater = 0, equal = 0;
#pragma unroll 4
    for (int j = 0; j < count; ++j) {
      greater += shared.room[j] > mine;
      equal += shared.room[j] == mine;
    }
    if (greater < k && k <= greater + equal) shared.found = mine;
  }
  __syncthreads();
  least = shared.found;
  return true;
}

/// The smallest weight that top-p keeps; false where the host must cut.
template <int WIDTH>
TKM_DEVICE bool cut_at_mass(const float* values,
                            int columns,
                            float top_p,
                            const Kept& kept,
                            DrawShared& shared,
                            float& cut) {
  int thread = static_cast<int>(threadIdx.x);
  u64 sum = 0;
  for_row<WIDTH>(
      values, columns, [&](float value, int) { sum += weight_units(kept.weight(value)); });
  u64 total = block_total(sum, shared.of_warp);
#pragma unroll 1
  for (int i = thread; i < kDrawBuckets; i += kRowThreads) shared.masses[i] = 0;
  if (thread == 0) shared.count = shared.border = 0;
  __syncthreads();
  // Half of the bound leaves room for rounding.
  float bound = static_cast<float>(0.5 * (1.0 - static_cast<double>(top_p)) *
                                   static_cast<double>(total) * 0x1p-44 / columns);
  for_row<WIDTH>(values, columns, [&](float value, int) {
    float weight = kept.weight(value);
    u64 units = weight_units(weight);
    if (weight >= bound && units) atomicAdd(&shared.masses[draw_bucket(weight)], units);
  });
  __syncthreads();
  u64 wanted = static_cast<u64>(static_cast<double>(top_p) * static_cast<double>(total));
  wanted = wanted ? wanted : 1;
  // Each thread has a few buckets, the heaviest weights first.
  constexpr int kEach = (kDrawBuckets + kRowThreads - 1) / kRowThreads;
  u64 masses[kEach], mine = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    int bucket = kDrawBuckets - 1 - (thread * kEach + i);
    masses[i] = bucket >= 0 ? shared.masses[bucket] : 0;
    mine += masses[i];
  }
  u64 above = sum_before(mine, shared.of_warp);
  if (above < wanted && above + mine >= wanted) {
    int i = 0;
    for (; i < kEach - 1 && above + masses[i] < wanted; ++i) above += masses[i];
    shared.bucket = kDrawBuckets - 1 - (thread * kEach + i);
    shared.above = above;
    shared.border = 1;
  }
  __syncthreads();
  if (!shared.border) return false;
  int bucket = shared.bucket;
  for_row<WIDTH>(values, columns, [&](float value, int) {
    float weight = kept.weight(value);
    if (weight < bound || !weight_units(weight) || draw_bucket(weight) != bucket) return;
    int at = atomicAdd(&shared.count, 1);
    if (at < kRowRoom) shared.room[at] = weight;
  });
  __syncthreads();
  int count = shared.count;
  if (count > kRowRoom) return false;
  if (thread == 0) shared.border = 0;
  __syncthreads();
#pragma unroll 1
  for (int i = thread; i < count; i += kRowThreads) {
    float weight = shared.room[i];
    u64 heavier = shared.above;
    int ties = 0;
#pragma unroll 4
    for (int j = 0; j < count; ++j) {
      float other = shared.room[j];
      heavier += other > weight ? weight_units(other) : 0;
      ties += other == weight;
    }
    // The last weight that is needed; of its ties all, or else their ids decide.
    u64 units = weight_units(weight);
    if (heavier >= wanted || heavier + ties * units < wanted) continue;
    shared.found = weight;
    shared.border = heavier + (ties - 1) * units < wanted ? 1 : 2;
  }
  __syncthreads();
  cut = shared.found;
  return shared.border == 1;
}

/// The first index at which the running sum exceeds `uniform` of the whole.
template <int WIDTH>
TKM_DEVICE i32
draw_index(const float* values, int columns, double uniform, const Kept& kept, DrawShared& shared) {
  int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(lane_id());
  u64 left = 0;
  int begin = 0, end = columns;
#pragma unroll 1
  for (int level = 0; level < 2; ++level) {
    constexpr int kUnit = 32 * WIDTH;
    int length = static_cast<int>(ceil_div(ceil_div(end - begin, kRowWarps), kUnit)) * kUnit;
    int first = imin(begin + warp * length, end), last = imin(first + length, end);
    u64 sum = 0;
    for_elements<WIDTH>(values, first, last, lane, 32, [&](float value, int) {
      sum += weight_units(kept.weight(value));
    });
    sum = warp_sum(sum);
    __syncthreads();
    if (lane == 0) shared.of_warp[warp] = sum;
    __syncthreads();
    u64 total = warp_sum(lane < kRowWarps ? shared.of_warp[lane] : u64{0});
    if (level == 0) {
      left = static_cast<u64>(uniform * static_cast<double>(total));
      left = left < total ? left : total - 1;
    }
    int segment = 0;
#pragma unroll 1
    while (segment < kRowWarps - 1 && left >= shared.of_warp[segment])
      left -= shared.of_warp[segment++];
    begin = imin(begin + segment * length, end);
    end = imin(begin + length, end);
  }
  if (warp != 0) return -1;
#pragma unroll 1
  for (int first = begin; first < end; first += 32) {
    u64 units = first + lane < end ? weight_units(kept.weight(values[first + lane])) : 0;
    u64 up_to = warp_sum_up_to(units);
    u32 reached = __ballot_sync(0xffffffffu, up_to > left);
    if (reached) return first + __ffs(static_cast<int>(reached)) - 1;
    left -= __shfl_sync(0xffffffffu, up_to, 31);
  }
  return -1;
}

/// The lowest index of the largest value.
template <int WIDTH>
TKM_DEVICE i32 best_index(const float* values, int columns, float max, DrawShared& shared) {
  if (threadIdx.x == 0) shared.count = columns;
  __syncthreads();
  int first = columns;
  for_row<WIDTH>(values, columns, [&](float value, int index) {
    if (value == max) first = imin(first, index);
  });
  if (first < columns) atomicMin(&shared.count, first);
  __syncthreads();
  return shared.count;
}

template <int WIDTH>
__global__ void __launch_bounds__(kRowThreads, 2) draw(
    const float* logits, const float* adjusted, const DrawRow* asked, i32* tokens, int columns) {
  __shared__ DrawShared shared;
  wait_for_predecessors();
  start_successors();
  const DrawRow ask = asked[blockIdx.x];
  const float* values =
      ask.row >= 0 ? logits + i64{ask.row} * columns : adjusted + i64{-1 - ask.row} * columns;
  const RowMax max = row_max<WIDTH>(values, columns, shared.room);
  bool done = max.usable;
  if (ask.scale == 0) {
    i32 best = done ? best_index<WIDTH>(values, columns, max.all, shared) : -1;
    if (threadIdx.x == 0) tokens[ask.place] = best;
    return;
  }
  Kept kept{max.all, ask.scale, -kInfinity, 0};
  if (done && ask.top_k > 0 && ask.top_k < columns)
    done = ask.top_k <= kRowThreads &&
           kth_logit<WIDTH>(values, columns, ask.top_k, max.own, shared, kept.least_logit);
  __syncthreads();
  float cut = 0;
  if (done && ask.top_p < 1)
    done = cut_at_mass<WIDTH>(values, columns, ask.top_p, kept, shared, cut);
  kept.least_weight = fmaxf(cut, ask.min_p);
  i32 token = done ? draw_index<WIDTH>(values, columns, ask.uniform, kept, shared) : -1;
  if (threadIdx.x == 0) tokens[ask.place] = token;
}

}  // namespace tkm
