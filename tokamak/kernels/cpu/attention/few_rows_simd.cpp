// SPDX-License-Identifier: Apache-2.0
// Attention blocks of 1 to 8 rows in f32, as in decoding, for every instruction set and any mix of
// bf16 and f32. Elements along the lanes: a score is a product of rows, summed across lanes; the
// sums of values are vectors, scaled by broadcast weights. Up to 4 rows share each load of the
// page. Scratch: weights [rows][64]. State: sums [rows][head_dim], maxima [rows], totals [rows].
#include <algorithm>
#include <cmath>
#include <limits>

#include "tokamak/kernels/cpu/attention/block.h"
#include "tokamak/kernels/cpu/simd_targets.h"
#include "tokamak/op/batch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/kernels/cpu/attention/few_rows_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include "tokamak/kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t kKeys = op::kPageTokens;

float* few_maxima(const Block& b) {
  return b.state + b.head_dim * b.rows;
}
float* few_totals(const Block& b) {
  return few_maxima(b) + b.rows;
}

/// Raw scores of kRows rows from `row` with all keys.
template <int kRows, class KV>
void score_rows(const Block& b, const BlockPage& page, int64_t row, float* scores) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto* queries = static_cast<const float*>(b.queries) + row * b.head_dim;
  for (int64_t key = 0; key < page.count; ++key) {
    auto* k = static_cast<const KV*>(page.keys) + key * b.head_dim;
    hn::Vec<decltype(d)> sums[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sums[r] = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= b.head_dim; i += lanes) {
      const auto v = load(d, k + i);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        sums[r] = hn::MulAdd(v, hn::LoadU(d, queries + r * b.head_dim + i), sums[r]);
    }
    for (int r = 0; r < kRows; ++r) {
      float sum = hn::GetLane(hn::SumOfLanes(d, sums[r]));
      const hn::CappedTag<float, 1> d1;
      for (int64_t j = i; j < b.head_dim; ++j)
        sum += hn::GetLane(load(d1, k + j)) * queries[r * b.head_dim + j];
      scores[(row + r) * kKeys + key] = sum;
    }
  }
}

/// Scores of a row become weights; its sums and total are rescaled to the new maximum.
void weigh_row(const Block& b, const BlockPage& page, int64_t row, float* scores) {
  const int64_t first =
      std::clamp<int64_t>(b.first_visible[row] - page.first_position, 0, page.count);
  const int64_t end =
      std::clamp<int64_t>(b.last_visible[row] - page.first_position + 1, first, page.count);
  std::fill(scores, scores + first, 0.0f);
  std::fill(scores + end, scores + page.count, 0.0f);
  float largest = few_maxima(b)[row];
  float* seen = scores + first;
  for_lanes(end - first, [&](auto d, int64_t i) HWY_ATTR {
    auto score = hn::Mul(hn::LoadU(d, seen + i), hn::Set(d, b.scale));
    if (b.softcap > 0) {
      const auto cap = hn::Set(d, b.softcap);
      score = hn::Mul(hn::Tanh(d, hn::Div(score, cap)), cap);
    }
    hn::StoreU(score, d, seen + i);
    largest = std::max(largest, hn::GetLane(hn::MaxOfLanes(d, score)));
  });
  const float keep = std::exp(few_maxima(b)[row] - largest);
  for_lanes(end - first, [&](auto d, int64_t i) HWY_ATTR {
    const auto exponent = hn::Sub(hn::LoadU(d, seen + i), hn::Set(d, largest));
    hn::StoreU(hn::Exp(d, exponent), d, seen + i);
  });
  const float total =
      sum_lanes(end - first, [&](auto d, int64_t i) HWY_ATTR { return hn::LoadU(d, seen + i); });
  few_totals(b)[row] = few_totals(b)[row] * keep + total;
  few_maxima(b)[row] = largest;
  if (keep == 1.0f) return;
  float* sums = b.state + row * b.head_dim;
  for_lanes(b.head_dim, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, sums + i), hn::Set(d, keep)), d, sums + i);
  });
}

/// Adds the weighted values of the page to kRows rows from `row`.
template <int kRows, class KV>
void add_values(const Block& b, const BlockPage& page, int64_t row, const float* weights) {
  auto* values = static_cast<const KV*>(page.values);
  for_lanes(b.head_dim, [&](auto d, int64_t i) HWY_ATTR {
    hn::Vec<decltype(d)> sums[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sums[r] = hn::LoadU(d, b.state + (row + r) * b.head_dim + i);
    for (int64_t key = 0; key < page.count; ++key) {
      const auto v = load(d, values + key * b.head_dim + i);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        sums[r] = hn::MulAdd(v, hn::Set(d, weights[(row + r) * kKeys + key]), sums[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) hn::StoreU(sums[r], d, b.state + (row + r) * b.head_dim + i);
  });
}

template <class KV>
void add_page_few(const Block& b, const BlockPage& page) {
  float* weights = static_cast<float*>(b.scratch);
  int64_t row = 0;
  for (; row + 4 <= b.rows; row += 4) score_rows<4, KV>(b, page, row, weights);
  for (; row < b.rows; ++row) score_rows<1, KV>(b, page, row, weights);
  for (row = 0; row < b.rows; ++row) weigh_row(b, page, row, weights + row * kKeys);
  for (row = 0; row + 4 <= b.rows; row += 4) add_values<4, KV>(b, page, row, weights);
  for (; row < b.rows; ++row) add_values<1, KV>(b, page, row, weights);
}

void add_page_few_simd(const Block& b, const BlockPage& page) {
  if (b.kv_dtype == DType::kBF16)
    add_page_few<uint16_t>(b, page);
  else
    add_page_few<float>(b, page);
}

/// To f32 [row][element].
void pack_queries_few(const Block& b, const void* const* rows) {
  with_type(b.q_dtype, [&](auto* type) HWY_ATTR {
    using Q = std::remove_pointer_t<decltype(type)>;
    for (int64_t r = 0; r < b.rows; ++r) {
      float* to = static_cast<float*>(b.queries) + r * b.head_dim;
      for_lanes(b.head_dim, [&](auto d, int64_t i) HWY_ATTR {
        hn::StoreU(load(d, static_cast<const Q*>(rows[r]) + i), d, to + i);
      });
    }
  });
}

void clear_few(const Block& b) {
  std::fill_n(b.state, b.rows * b.head_dim, 0.0f);
  std::fill_n(few_maxima(b), b.rows, -1e30f);
  std::fill_n(few_totals(b), b.rows, 0.0f);
}

void merge_few(const Block& b, const float* other) {
  const float* their_maxima = other + b.head_dim * b.rows;
  for (int64_t r = 0; r < b.rows; ++r) {
    float& mine = few_maxima(b)[r];
    const float largest = std::max(mine, their_maxima[r]);
    const float keep = std::exp(mine - largest), add = std::exp(their_maxima[r] - largest);
    mine = largest;
    few_totals(b)[r] = few_totals(b)[r] * keep + their_maxima[b.rows + r] * add;
    for_lanes(b.head_dim, [&](auto d, int64_t i) HWY_ATTR {
      float* sum = b.state + r * b.head_dim + i;
      const auto kept = hn::Mul(hn::LoadU(d, sum), hn::Set(d, keep));
      const auto theirs = hn::LoadU(d, other + r * b.head_dim + i);
      hn::StoreU(hn::MulAdd(theirs, hn::Set(d, add), kept), d, sum);
    });
  }
}

void store_few(const Block& b, void* const* rows) {
  with_type(b.q_dtype, [&](auto* type) HWY_ATTR {
    using Y = std::remove_pointer_t<decltype(type)>;
    for (int64_t r = 0; r < b.rows; ++r) {
      const float scale = 1.0f / few_totals(b)[r];
      for_lanes(b.head_dim, [&](auto d, int64_t i) HWY_ATTR {
        const auto sum = hn::LoadU(d, b.state + r * b.head_dim + i);
        store(d, hn::Mul(sum, hn::Set(d, scale)), static_cast<Y*>(rows[r]) + i);
      });
    }
  });
}

void few_rows_kernels(BlockKernels& out) {
  out = {.name = hwy::TargetName(HWY_TARGET),
         .row_multiple = 1,
         .scratch_bytes = [](int64_t) { return 8 * kKeys * 4; },
         .state_floats = [](int64_t head_dim) { return 8 * (head_dim + 2); },
         .pack_queries = pack_queries_few,
         .clear = clear_few,
         .add_page = add_page_few_simd,
         .merge = merge_few,
         .store = store_few};
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::kernels::cpu {

HWY_EXPORT(few_rows_kernels);

const BlockKernels& few_rows_simd() {
  static const BlockKernels kernels = [] {
    BlockKernels k;
    HWY_DYNAMIC_DISPATCH(few_rows_kernels)(k);
    return k;
  }();
  return kernels;
}

}  // namespace tokamak::kernels::cpu
#endif
