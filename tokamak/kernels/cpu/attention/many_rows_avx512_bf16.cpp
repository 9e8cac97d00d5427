// SPDX-License-Identifier: Apache-2.0
// Attention blocks of 9 to 64 rows through vdpbf16ps.
//
// Transposed, rows along the lanes (16, 32, 48 or 64 of them, V vectors): scores [key][row] = keys
// [key][pair], broadcast straight from the page, times queries [pair][row]; sums [element][row] +=
// values [key pair][element], broadcast from an interleaved copy, times weights [key pair][row].
// A register tile is M keys (or elements) x V vectors with M V <= 24, and V operand vectors.
// Scratch: scores f32 [64][rows], weights [32][rows] words, values [32][head_dim] words.
// State: sums [head_dim][rows], maxima [rows], totals [rows].
#include "tokamak/kernels/cpu/attention/block.h"

#if defined(__x86_64__)
#include "tokamak/kernels/cpu/intrinsics.h"
// Before what includes <immintrin.h> too.
#include <algorithm>

#include <hwy/base.h>

#include "tokamak/device/cpu/isa.h"
#include "tokamak/op/batch.h"

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#include "tokamak/kernels/cpu/attention/avx512_bf16.h"

namespace tokamak::kernels::cpu {
namespace {

constexpr int64_t kKeys = op::kPageTokens;

/// c[m][lanes] (+)= sum over k of a[m * a_row + k * a_step] . b[k][lanes], all of words of two
/// bf16.
struct Product {
  const uint32_t* a;
  int64_t a_row, a_step;
  const uint32_t* b;
  float* c;
  int64_t depth;
};

template <int kVectors, int kRows, bool kAccumulate>
TKM_INLINE void product_tile(const Product& p) {
  constexpr int64_t kStride = kVectors * 16;
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[m][v] = kAccumulate ? _mm512_loadu_ps(p.c + m * kStride + v * 16) : _mm512_setzero_ps();
  }
  const uint32_t *a = p.a, *b = p.b;
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_step, b += kStride) {
    __m512bh factors[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) factors[v] = (__m512bh)_mm512_loadu_si512(b + v * 16);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) {
      const __m512bh pair = broadcast_pair(a + m * p.a_row);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sums[m][v] = _mm512_dpbf16_ps(sums[m][v], factors[v], pair);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(p.c + m * kStride + v * 16, sums[m][v]);
  }
}

template <int kVectors, bool kAccumulate>
void multiply(Product p, int64_t rows) {
  constexpr int kMost = kVectors == 4 ? 6 : 8;
  auto advance = [&](int count) {
    p.a += count * p.a_row;
    p.c += count * kVectors * 16;
    rows -= count;
  };
  while (rows >= kMost) {
    product_tile<kVectors, kMost, kAccumulate>(p);
    advance(kMost);
  }
  while (rows >= 4) {
    product_tile<kVectors, 4, kAccumulate>(p);
    advance(4);
  }
  while (rows > 0) {
    product_tile<kVectors, 1, kAccumulate>(p);
    advance(1);
  }
}

float* maxima(const Block& b) {
  return b.state + b.head_dim * b.rows;
}
float* totals(const Block& b) {
  return maxima(b) + b.rows;
}

/// One vector of rows: scores in log2 units, hidden ones far below; returns their maxima.
TKM_INLINE __m512 scale_column(const Block& b, const BlockPage& page, float* scores, int64_t r) {
  const __m512 scale = _mm512_set1_ps(b.scale * (b.softcap > 0 ? 1.0f : kLog2E));
  const __m512i first = _mm512_loadu_si512(b.first_visible + r);
  const __m512i last = _mm512_loadu_si512(b.last_visible + r);
  __m512 largest = _mm512_set1_ps(kHidden);
  for (int64_t key = 0; key < page.count; ++key) {
    float* at = scores + key * b.rows + r;
    __m512 score = _mm512_mul_ps(_mm512_loadu_ps(at), scale);
    if (b.softcap > 0)
      score = _mm512_mul_ps(softcap_lanes(score, b.softcap), _mm512_set1_ps(kLog2E));
    if (page.masked) {
      const __m512i position = _mm512_set1_epi32(static_cast<int>(page.first_position + key));
      const __mmask16 seen =
          _mm512_cmple_epi32_mask(first, position) & _mm512_cmple_epi32_mask(position, last);
      score = _mm512_mask_blend_ps(seen, _mm512_set1_ps(kHidden), score);
    }
    _mm512_storeu_ps(at, score);
    largest = _mm512_max_ps(largest, score);
  }
  return largest;
}

/// Raises the maxima of the rows whose scores outgrew them, and rescales what they had.
TKM_INLINE __m512 raise_maximum(const Block& b, __m512 largest, int64_t r) {
  const __m512 before = _mm512_loadu_ps(maxima(b) + r);
  const __mmask16 outgrown =
      _mm512_cmp_ps_mask(largest, _mm512_add_ps(before, _mm512_set1_ps(kSlack)), _CMP_GT_OQ);
  if (!outgrown) return before;
  const __m512 after = _mm512_mask_mov_ps(before, outgrown, largest);
  const __m512 keep = exp2_lanes(_mm512_sub_ps(before, after));
  _mm512_storeu_ps(maxima(b) + r, after);
  _mm512_storeu_ps(totals(b) + r, _mm512_mul_ps(_mm512_loadu_ps(totals(b) + r), keep));
  for (int64_t i = 0; i < b.head_dim; ++i) {
    float* sum = b.state + i * b.rows + r;
    _mm512_storeu_ps(sum, _mm512_mul_ps(_mm512_loadu_ps(sum), keep));
  }
  return after;
}

/// Scores of one vector of rows to weights, two keys a word; keys are padded to a pair with zero.
TKM_INLINE void weigh_column(
    const Block& b, int64_t count, const float* scores, uint32_t* weights, int64_t r) {
  const __m512 maximum = _mm512_loadu_ps(maxima(b) + r);
  const __m512i half = _mm512_set1_epi32(0x8000), high = _mm512_set1_epi32(~0xffff);
  __m512 total = _mm512_loadu_ps(totals(b) + r);
  for (int64_t key = 0; key < count; key += 2) {
    const float* at = scores + key * b.rows + r;
    const __m512 even = exp2_lanes(_mm512_sub_ps(_mm512_loadu_ps(at), maximum));
    __m512 odd = _mm512_setzero_ps();
    if (key + 1 < count) odd = exp2_lanes(_mm512_sub_ps(_mm512_loadu_ps(at + b.rows), maximum));
    total = _mm512_add_ps(total, _mm512_add_ps(even, odd));
    const __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(even), half), 16);
    const __m512i up = _mm512_add_epi32(_mm512_castps_si512(odd), half);
    _mm512_storeu_si512(weights + key / 2 * b.rows + r,
                        _mm512_or_si512(low, _mm512_and_si512(up, high)));
  }
  _mm512_storeu_ps(totals(b) + r, total);
}

/// Values of the page as [key pair][element] words; a missing last key is zero.
void interleave_values(const Block& b, const BlockPage& page, uint32_t* to) {
  auto* values = static_cast<const uint16_t*>(page.values);
  for (int64_t key = 0; key < page.count; key += 2) {
    const uint16_t* even = values + key * b.head_dim;
    uint32_t* row = to + key / 2 * b.head_dim;
    for (int64_t i = 0; i < b.head_dim; i += 32) {
      const int64_t left = b.head_dim - i;
      const __mmask32 in = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
      const __mmask32 in_odd = key + 1 < page.count ? in : 0;
      const PairedRows pairs = pair_rows(_mm512_maskz_loadu_epi16(in, even + i),
                                         _mm512_maskz_loadu_epi16(in_odd, even + b.head_dim + i));
      _mm512_mask_storeu_epi32(row + i, static_cast<__mmask16>(in), (__m512i)pairs.low);
      _mm512_mask_storeu_epi32(row + i + 16, static_cast<__mmask16>(in >> 16), (__m512i)pairs.high);
    }
  }
}

template <int kVectors>
void add_page(const Block& b, const BlockPage& page) {
  float* scores = static_cast<float*>(b.scratch);
  uint32_t* weights = static_cast<uint32_t*>(b.scratch) + kKeys * b.rows;
  uint32_t* values = weights + kKeys / 2 * b.rows;
  const int64_t pairs = b.head_dim / 2;
  multiply<kVectors, false>({.a = static_cast<const uint32_t*>(page.keys),
                             .a_row = pairs,
                             .a_step = 1,
                             .b = static_cast<const uint32_t*>(b.queries),
                             .c = scores,
                             .depth = pairs},
                            page.count);
  for (int64_t r = 0; r < b.rows; r += 16) {
    raise_maximum(b, scale_column(b, page, scores, r), r);
    weigh_column(b, page.count, scores, weights, r);
  }
  interleave_values(b, page, values);
  multiply<kVectors, true>({.a = values,
                            .a_row = 1,
                            .a_step = b.head_dim,
                            .b = weights,
                            .c = b.state,
                            .depth = (page.count + 1) / 2},
                           b.head_dim);
}

void add_page_of(const Block& b, const BlockPage& page) {
  switch (b.rows / 16) {
    case 1:
      return add_page<1>(b, page);
    case 2:
      return add_page<2>(b, page);
    case 3:
      return add_page<3>(b, page);
    default:
      return add_page<4>(b, page);
  }
}

/// [pair][row], padding zero.
void pack_queries(const Block& b, const void* const* rows) {
  auto* to = static_cast<uint32_t*>(b.queries);
  for (int64_t r = 0; r < b.rows; ++r) {
    for (int64_t p = 0; p < b.head_dim / 2; ++p) {
      uint32_t pair = 0;
      if (r < b.used_rows)
        __builtin_memcpy(&pair, static_cast<const uint16_t*>(rows[r]) + 2 * p, 4);
      to[p * b.rows + r] = pair;
    }
  }
}

void clear(const Block& b) {
  std::fill_n(b.state, b.rows * b.head_dim, 0.0f);
  std::fill_n(maxima(b), b.rows, kNoMaximum);
  std::fill_n(totals(b), b.rows, 0.0f);
}

void merge(const Block& b, const float* other) {
  const float* their_maxima = other + b.head_dim * b.rows;
  for (int64_t r = 0; r < b.rows; r += 16) {
    const __m512 mine = _mm512_loadu_ps(maxima(b) + r), theirs = _mm512_loadu_ps(their_maxima + r);
    const __m512 largest = _mm512_max_ps(mine, theirs);
    const __m512 keep = exp2_lanes(_mm512_sub_ps(mine, largest));
    const __m512 add = exp2_lanes(_mm512_sub_ps(theirs, largest));
    auto fold = [&](float* to, const float* from) {
      const __m512 kept = _mm512_mul_ps(_mm512_loadu_ps(to), keep);
      _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_loadu_ps(from), add, kept));
    };
    _mm512_storeu_ps(maxima(b) + r, largest);
    fold(totals(b) + r, their_maxima + b.rows + r);
    for (int64_t i = 0; i < b.head_dim; ++i) fold(b.state + i * b.rows + r, other + i * b.rows + r);
  }
}

void store(const Block& b, void* const* rows) {
  for (int64_t r = 0; r < b.used_rows; ++r) {
    const float scale = 1.0f / totals(b)[r];
    for (int64_t i = 0; i < b.head_dim; ++i)
      static_cast<uint16_t*>(rows[r])[i] = tensor::float_to_bf16(b.state[i * b.rows + r] * scale);
  }
}

}  // namespace
}  // namespace tokamak::kernels::cpu
HWY_POP_ATTRIBUTES

namespace tokamak::kernels::cpu {

const BlockKernels* many_rows_avx512_bf16() {
  static const BlockKernels kernels = {
      .name = "many_rows_avx512_bf16",
      .row_multiple = 16,
      .scratch_bytes =
          [](int64_t head_dim) {
            return (kKeys * 3 / 2 * kMaxBlockRows + kKeys / 2 * head_dim) * 4;
          },
      .state_floats = [](int64_t head_dim) { return (head_dim + 2) * kMaxBlockRows; },
      .pack_queries = pack_queries,
      .clear = clear,
      .add_page = add_page_of,
      .merge = merge,
      .store = store};
  return device::cpu_info().avx512_bf16 ? &kernels : nullptr;
}

}  // namespace tokamak::kernels::cpu
#else
namespace tokamak::kernels::cpu {
const BlockKernels* many_rows_avx512_bf16() {
  return nullptr;
}
}  // namespace tokamak::kernels::cpu
#endif
