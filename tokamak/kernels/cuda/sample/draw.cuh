// SPDX-License-Identifier: Apache-2.0
// draw: a token by chance for each that asks, from its row of logits: temperature, then top-k,
// top-p and min-p, each on what the one before left, as runtime::sample() on the host; -1 where the
// host must choose.
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

#include "tile/reduce.cuh"

namespace tkm {

/// As the host writes it: kernels/cuda/sample/draw.h.
struct DrawRow {
  double uniform;  // In [0, 1).
  float scale;     // log2(e) / temperature
  float top_p, min_p;
  i32 top_k;  // 0: all.
  i32 row;
  i32 place;  // Of the token.
};

constexpr int kDrawThreads = 512;
constexpr int kDrawWarps = kDrawThreads / 32;
constexpr int kDrawRoom = 2048;
// Buckets of 1.6 %, from the smallest weight that is not 0 in units of 2^-44 up to 1.
constexpr int kBucketShift = 17;
constexpr u32 kFirstBucket = 0x29800000u >> kBucketShift;
constexpr int kDrawBuckets = static_cast<int>((0x3f800000u >> kBucketShift) - kFirstBucket) + 1;

TKM_DEVICE u64 draw_units(float weight) {
  return __float2ull_rz(weight * 0x1p44f);
}
TKM_DEVICE int draw_bucket(float weight) {
  return static_cast<int>((__float_as_uint(weight) >> kBucketShift) - kFirstBucket);
}

TKM_DEVICE u64 warp_sum(u64 x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
/// Over the lanes up to this one.
TKM_DEVICE u64 warp_sum_up_to(u64 x) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    u64 other = __shfl_up_sync(0xffffffffu, x, step);
    if (lane_id() >= step) x += other;
  }
  return x;
}
/// Of all threads, to all threads; `scratch` holds kDrawWarps.
TKM_DEVICE u64 block_total(u64 x, u64* scratch) {
  x = warp_sum(x);
  __syncthreads();
  if (lane_id() == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  return warp_sum(lane_id() < kDrawWarps ? scratch[lane_id()] : u64{0});
}
/// Sum over the threads before this one.
TKM_DEVICE u64 sum_before(u64 x, u64* scratch) {
  u64 up_to = warp_sum_up_to(x);
  __syncthreads();
  if (lane_id() == 31) scratch[threadIdx.x / 32] = up_to;
  __syncthreads();
  u64 before = 0;
#pragma unroll 1
  for (u32 w = 0; w < threadIdx.x / 32; ++w) before += scratch[w];
  return before + up_to - x;
}

/// Calls each(value) for elements [begin, end) with the given lanes, WIDTH at once.
template <int WIDTH, typename Each>
TKM_DEVICE void for_elements(
    const float* values, int begin, int end, int lane, int lanes, const Each& each) {
#pragma unroll 4
  for (int i = begin + lane * WIDTH; i < end; i += lanes * WIDTH) {
    float run[WIDTH];
    load_floats<WIDTH>(values + i, run);
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) each(run[j]);
  }
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
    float maxima[kDrawThreads];
  };
  float room[kDrawRoom];
  u64 of_warp[kDrawWarps];
  u64 above;  // Mass above the bucket.
  float found;
  int count, bucket, border;
};

/// The k-th largest of `values`, or a bound that fewer than k reach; false if there is no room.
template <int WIDTH>
TKM_DEVICE bool kth_logit(
    const float* values, int columns, int k, float own_max, DrawShared& shared, float& least) {
  int thread = static_cast<int>(threadIdx.x);
  shared.maxima[thread] = own_max;
  if (thread == 0) shared.count = 0;
  __syncthreads();
  // k threads hold a value of at least the k-th largest maximum, so the k-th value is no less.
  int rank = 0;
#pragma unroll 4
  for (int i = 0; i < kDrawThreads; ++i) {
    float other = shared.maxima[i];
    rank += other > own_max || (other == own_max && i < thread);
  }
  if (rank == k - 1) shared.found = own_max;
  __syncthreads();
  float bound = fmaxf(shared.found, -3.402823466e38f);
  for_elements<WIDTH>(values, 0, columns, thread, kDrawThreads, [&](float value) {
    if (value < bound) return;
    int at = atomicAdd(&shared.count, 1);
    if (at < kDrawRoom) shared.room[at] = value;
  });
  __syncthreads();
  int count = shared.count;
  least = bound;
  if (count <= k) return true;
  if (count > kDrawRoom) return false;
#pragma unroll 1
  for (int i = thread; i < count; i += kDrawThreads) {
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
  for_elements<WIDTH>(values, 0, columns, thread, kDrawThreads, [&](float value) {
    sum += draw_units(kept.weight(value));
  });
  u64 total = block_total(sum, shared.of_warp);
#pragma unroll 1
  for (int i = thread; i < kDrawBuckets; i += kDrawThreads) shared.masses[i] = 0;
  if (thread == 0) shared.count = shared.border = 0;
  __syncthreads();
  // Half of the bound leaves room for rounding.
  float bound = static_cast<float>(0.5 * (1.0 - static_cast<double>(top_p)) *
                                   static_cast<double>(total) * 0x1p-44 / columns);
  for_elements<WIDTH>(values, 0, columns, thread, kDrawThreads, [&](float value) {
    float weight = kept.weight(value);
    u64 units = draw_units(weight);
    if (weight >= bound && units) atomicAdd(&shared.masses[draw_bucket(weight)], units);
  });
  __syncthreads();
  u64 wanted = static_cast<u64>(static_cast<double>(top_p) * static_cast<double>(total));
  wanted = wanted ? wanted : 1;
  // Each thread has a few buckets, the heaviest weights first.
  constexpr int kEach = (kDrawBuckets + kDrawThreads - 1) / kDrawThreads;
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
  for_elements<WIDTH>(values, 0, columns, thread, kDrawThreads, [&](float value) {
    float weight = kept.weight(value);
    if (weight < bound || !draw_units(weight) || draw_bucket(weight) != bucket) return;
    int at = atomicAdd(&shared.count, 1);
    if (at < kDrawRoom) shared.room[at] = weight;
  });
  __syncthreads();
  int count = shared.count;
  if (count > kDrawRoom) return false;
  if (thread == 0) shared.border = 0;
  __syncthreads();
#pragma unroll 1
  for (int i = thread; i < count; i += kDrawThreads) {
    float weight = shared.room[i];
    u64 heavier = shared.above;
    int ties = 0;
#pragma unroll 4
    for (int j = 0; j < count; ++j) {
      float other = shared.room[j];
      heavier += other > weight ? draw_units(other) : 0;
      ties += other == weight;
    }
    // The last weight that is needed; of its ties all, or else their ids decide.
    u64 units = draw_units(weight);
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
    int length = static_cast<int>(ceil_div(ceil_div(end - begin, kDrawWarps), kUnit)) * kUnit;
    int first = imin(begin + warp * length, end), last = imin(first + length, end);
    u64 sum = 0;
    for_elements<WIDTH>(
        values, first, last, lane, 32, [&](float value) { sum += draw_units(kept.weight(value)); });
    sum = warp_sum(sum);
    __syncthreads();
    if (lane == 0) shared.of_warp[warp] = sum;
    __syncthreads();
    u64 total = warp_sum(lane < kDrawWarps ? shared.of_warp[lane] : u64{0});
    if (level == 0) {
      left = static_cast<u64>(uniform * static_cast<double>(total));
      left = left < total ? left : total - 1;
    }
    int segment = 0;
#pragma unroll 1
    while (segment < kDrawWarps - 1 && left >= shared.of_warp[segment])
      left -= shared.of_warp[segment++];
    begin = imin(begin + segment * length, end);
    end = imin(begin + length, end);
  }
  if (warp != 0) return -1;
#pragma unroll 1
  for (int first = begin; first < end; first += 32) {
    u64 units = first + lane < end ? draw_units(kept.weight(values[first + lane])) : 0;
    u64 up_to = warp_sum_up_to(units);
    u32 reached = __ballot_sync(0xffffffffu, up_to > left);
    if (reached) return first + __ffs(static_cast<int>(reached)) - 1;
    left -= __shfl_sync(0xffffffffu, up_to, 31);
  }
  return -1;
}

template <int WIDTH>
__global__ void __launch_bounds__(kDrawThreads)
    draw(const float* logits, const DrawRow* asked, i32* tokens, int columns) {
  __shared__ DrawShared shared;
  wait_for_predecessors();
  start_successors();
  const DrawRow ask = asked[blockIdx.x];
  const float* values = logits + i64{ask.row} * columns;
  int thread = static_cast<int>(threadIdx.x);
  float own_max = -kInfinity;
  bool bad = false;
  for_elements<WIDTH>(values, 0, columns, thread, kDrawThreads, [&](float value) {
    bad |= !(value < kInfinity);
    own_max = fmaxf(own_max, value);
  });
  float max = warp_max(own_max);
  if (lane_id() == 0) shared.room[threadIdx.x / 32] = max;
  bad = __syncthreads_or(bad);
  max = warp_max(shared.room[lane_id() % kDrawWarps]);
  __syncthreads();
  bool done = !bad && max > -kInfinity;
  Kept kept{max, ask.scale, -kInfinity, 0};
  if (done && ask.top_k > 0 && ask.top_k < columns)
    done = ask.top_k <= kDrawThreads &&
           kth_logit<WIDTH>(values, columns, ask.top_k, own_max, shared, kept.least_logit);
  __syncthreads();
  float cut = 0;
  if (done && ask.top_p < 1)
    done = cut_at_mass<WIDTH>(values, columns, ask.top_p, kept, shared, cut);
  kept.least_weight = fmaxf(cut, ask.min_p);
  i32 token = done ? draw_index<WIDTH>(values, columns, ask.uniform, kept, shared) : -1;
  // Read again, as a register for it would be one too many.
  if (thread == 0) tokens[asked[blockIdx.x].place] = token;
}

}  // namespace tkm
