// SPDX-License-Identifier: Apache-2.0
// Attention blocks in f32, for every instruction set and any mix of bf16 and f32.
//
// Everything is kept transposed, rows along the lanes: scores are [key][row], sums [element][row].
// Then keys and values are only ever broadcast, the running maximum and total are vectors, and no
// reduction across lanes is needed.
// State: sums [head_dim][rows], maxima [rows], totals [rows].
#include <algorithm>
#include <limits>

#include "tokamak/kernels/cpu/attention/block.h"
#include "tokamak/kernels/cpu/simd_targets.h"
#include "tokamak/op/batch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/kernels/cpu/attention/many_rows_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include "tokamak/kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

int64_t lanes() {
  return static_cast<int64_t>(hn::Lanes(D()));
}

float* maxima(const Block& b) {
  return b.state + b.head_dim * b.rows;
}
float* totals(const Block& b) {
  return maxima(b) + b.rows;
}

/// c[m][0..lanes) (+)= sum over k of a[m * a_row + k * a_step] * b[k][0..lanes), for kRows values
/// of m; rows of b and c are b_stride and c_stride floats apart.
struct Product {
  const float* a;
  int64_t a_row, a_step;
  const float* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  int64_t depth;
};
template <int kRows>
HWY_INLINE void add_product(const Product& p, bool accumulate) {
  const D d;
  V sums[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
    sums[m] = accumulate ? hn::LoadU(d, p.c + m * p.c_stride) : hn::Zero(d);
  for (int64_t k = 0; k < p.depth; ++k) {
    const V b = hn::LoadU(d, p.b + k * p.b_stride);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m)
      sums[m] = hn::MulAdd(hn::Set(d, p.a[m * p.a_row + k * p.a_step]), b, sums[m]);
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) hn::StoreU(sums[m], d, p.c + m * p.c_stride);
}

/// The same for any number of rows and for `columns` columns, a multiple of the lanes.
void multiply(Product p, int64_t rows, int64_t columns, bool accumulate) {
  for (int64_t j = 0; j < columns; j += lanes()) {
    Product q = p;
    q.b += j;
    q.c += j;
    int64_t m = 0;
    for (; m + 8 <= rows; m += 8) {
      add_product<8>(q, accumulate);
      q.a += 8 * q.a_row;
      q.c += 8 * q.c_stride;
    }
    for (; m < rows; ++m) {
      add_product<1>(q, accumulate);
      q.a += q.a_row;
      q.c += q.c_stride;
    }
  }
}

/// Scores [count][rows] of one vector of rows become weights; sums are rescaled to the new maximum.
HWY_INLINE void softmax_column(const Block& b, const BlockPage& page, float* scores, int64_t r) {
  const D d;
  const hn::RebindToSigned<D> di;
  const V lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  const V scale = hn::Set(d, b.scale), cap = hn::Set(d, b.softcap);
  const auto first = hn::LoadU(di, b.first_visible + r), last = hn::LoadU(di, b.last_visible + r);
  V largest = hn::LoadU(d, maxima(b) + r);
  const V before = largest;
  for (int64_t key = 0; key < page.count; ++key) {
    V score = hn::Mul(hn::LoadU(d, scores + key * b.rows + r), scale);
    if (b.softcap > 0) score = hn::Mul(hn::Tanh(d, hn::Div(score, cap)), cap);
    if (page.masked) {
      const auto position = hn::Set(di, static_cast<int32_t>(page.first_position + key));
      const auto hidden = hn::Or(hn::Lt(position, first), hn::Gt(position, last));
      score = hn::IfThenElse(hn::RebindMask(d, hidden), lowest, score);
    }
    hn::StoreU(score, d, scores + key * b.rows + r);
    largest = hn::Max(largest, score);
  }
  V total = hn::Zero(d);
  for (int64_t key = 0; key < page.count; ++key) {
    float* at = scores + key * b.rows + r;
    const V weight = hn::Exp(d, hn::Sub(hn::LoadU(d, at), largest));
    hn::StoreU(weight, d, at);
    total = hn::Add(total, weight);
  }
  const V keep = hn::Exp(d, hn::Sub(before, largest));
  hn::StoreU(largest, d, maxima(b) + r);
  hn::StoreU(hn::MulAdd(hn::LoadU(d, totals(b) + r), keep, total), d, totals(b) + r);
  for (int64_t i = 0; i < b.head_dim; ++i) {
    float* sum = b.state + i * b.rows + r;
    hn::StoreU(hn::Mul(hn::LoadU(d, sum), keep), d, sum);
  }
}

/// The page's rows as f32: where they are, or converted into `to`.
const float* as_floats(DType dtype, const void* from, int64_t count, float* to) {
  if (dtype == DType::kF32) return static_cast<const float*>(from);
  for_lanes(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(load(d, static_cast<const uint16_t*>(from) + i), d, to + i);
  });
  return to;
}

void add_page_simd(const Block& b, const BlockPage& page) {
  float* scores = static_cast<float*>(b.scratch);
  float* converted = scores + op::kPageTokens * kMaxBlockRows;
  const float* keys = as_floats(b.kv_dtype, page.keys, page.count * b.head_dim, converted);
  multiply({.a = keys,
            .a_row = b.head_dim,
            .a_step = 1,
            .b = static_cast<const float*>(b.queries),
            .b_stride = b.rows,
            .c = scores,
            .c_stride = b.rows,
            .depth = b.head_dim},
           page.count,
           b.rows,
           /*accumulate=*/false);
  for (int64_t r = 0; r < b.rows; r += lanes()) softmax_column(b, page, scores, r);
  const float* values = as_floats(b.kv_dtype, page.values, page.count * b.head_dim, converted);
  multiply({.a = values,
            .a_row = 1,
            .a_step = b.head_dim,
            .b = scores,
            .b_stride = b.rows,
            .c = b.state,
            .c_stride = b.rows,
            .depth = page.count},
           b.head_dim,
           b.rows,
           /*accumulate=*/true);
}

/// Transposed to f32 [head_dim][rows], padding zero.
void pack_queries_simd(const Block& b, const void* const* rows) {
  auto* to = static_cast<float*>(b.queries);
  for (int64_t r = 0; r < b.rows; ++r) {
    for (int64_t i = 0; i < b.head_dim; ++i) {
      float value = 0;
      if (r < b.used_rows)
        value = b.q_dtype == DType::kF32
                    ? static_cast<const float*>(rows[r])[i]
                    : tensor::bf16_to_float(static_cast<const uint16_t*>(rows[r])[i]);
      to[i * b.rows + r] = value;
    }
  }
}

void clear_simd(const Block& b) {
  // Finite, so that a row that has seen nothing yet subtracts no infinities.
  std::fill_n(maxima(b), b.rows, -1e30f);
  std::fill_n(totals(b), b.rows, 0.0f);
  std::fill_n(b.state, b.rows * b.head_dim, 0.0f);
}

void merge_simd(const Block& b, const float* other) {
  const float* their_maxima = other + b.head_dim * b.rows;
  for_lanes(b.rows, [&](auto d, int64_t r) HWY_ATTR {
    const auto mine = hn::LoadU(d, maxima(b) + r), theirs = hn::LoadU(d, their_maxima + r);
    const auto largest = hn::Max(mine, theirs);
    const auto keep = hn::Exp(d, hn::Sub(mine, largest));
    const auto add = hn::Exp(d, hn::Sub(theirs, largest));
    auto fold = [&](float* to, const float* from) HWY_ATTR {
      const auto kept = hn::Mul(hn::LoadU(d, to), keep);
      hn::StoreU(hn::MulAdd(hn::LoadU(d, from), add, kept), d, to);
    };
    hn::StoreU(largest, d, maxima(b) + r);
    fold(totals(b) + r, their_maxima + b.rows + r);
    for (int64_t i = 0; i < b.head_dim; ++i) fold(b.state + i * b.rows + r, other + i * b.rows + r);
  });
}

void store_simd(const Block& b, void* const* rows) {
  for (int64_t r = 0; r < b.used_rows; ++r) {
    float scale = 1.0f / totals(b)[r];
    for (int64_t i = 0; i < b.head_dim; ++i) {
      float value = b.state[i * b.rows + r] * scale;
      if (b.q_dtype == DType::kBF16)
        static_cast<uint16_t*>(rows[r])[i] = tensor::float_to_bf16(value);
      else
        static_cast<float*>(rows[r])[i] = value;
    }
  }
}

void kernels_simd(BlockKernels& out) {
  out = {.name = hwy::TargetName(HWY_TARGET),
         .row_multiple = lanes(),
         .scratch_bytes =
             [](int64_t head_dim) { return op::kPageTokens * (kMaxBlockRows + head_dim) * 4; },
         .state_floats = [](int64_t head_dim) { return (head_dim + 2) * kMaxBlockRows; },
         .pack_queries = pack_queries_simd,
         .clear = clear_simd,
         .add_page = add_page_simd,
         .merge = merge_simd,
         .store = store_simd};
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::kernels::cpu {

HWY_EXPORT(kernels_simd);

const BlockKernels& many_rows_simd() {
  static const BlockKernels kernels = [] {
    BlockKernels k;
    HWY_DYNAMIC_DISPATCH(kernels_simd)(k);
    return k;
  }();
  return kernels;
}

}  // namespace tokamak::kernels::cpu
#endif
