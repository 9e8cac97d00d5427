// SPDX-License-Identifier: Apache-2.0
// Attention blocks of 1 to 8 rows, as in decoding, through vdpbf16ps: everything is read once from
// the page and used from registers.
//
// Scores have keys along the lanes: 1, 2 or 4 rows are multiplied with whole rows of keys, and 16
// sums of products summed across lanes at a time; for other counts 16 keys x 16 pairs are
// transposed in registers (64 shuffles) and multiplied with the broadcast pairs of each row. Sums
// have elements along the lanes: two positions' values are interleaved (2 permutations for 32
// elements) and multiplied with each row's broadcast pair of weights. Registers: 8 rows of scores
// and 16 transposed keys, or 8 x 2 sums and 2 of values. Scratch: weights bf16 [8][64]. State: sums
// [rows][head_dim rounded up to 32], maxima [8], totals [8][16], each a sum over lanes.
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

int64_t sum_stride(int64_t head_dim) {
  return (head_dim + 31) / 32 * 32;
}
int64_t query_stride(int64_t head_dim) {
  return (head_dim + 31) / 32 * 32;
}
float* maxima(const Block& b, float* state) {
  return state + kFewRows * sum_stride(b.head_dim);
}
float* totals(const Block& b, float* state) {
  return maxima(b, state) + kFewRows;
}

/// Word i of row j becomes word j of row i.
TKM_INLINE void transpose(__m512i (&rows)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    rows[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    rows[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    rows[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  // rows[4 i + c] has words c, c + 4, c + 8, c + 12 of rows 4 i to 4 i + 3, a 128-bit lane each.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    t[c] = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0xdd);
    t[12 + c] = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0xdd);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    rows[c] = _mm512_shuffle_i32x4(t[c], t[4 + c], 0x88);
    rows[8 + c] = _mm512_shuffle_i32x4(t[c], t[4 + c], 0xdd);
    rows[4 + c] = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0x88);
    rows[12 + c] = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0xdd);
  }
}

/// Raw scores of 16 keys from `keys` with all rows, keys transposed; `next` are as many elements to
/// prefetch.
template <int kRows>
TKM_INLINE void score_transposed(const Block& b,
                                 const uint16_t* keys,
                                 const uint16_t* next,
                                 __m512 (&scores)[kRows]) {
  const int64_t pairs = b.head_dim / 2;
  auto* queries = static_cast<const uint32_t*>(b.queries);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) scores[r] = _mm512_setzero_ps();
  for (int64_t first = 0; first < pairs; first += 16) {
    const int64_t left = pairs - first;
    const __mmask16 in = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    __m512i k[16];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const uint16_t* four = keys + i * 4 * b.head_dim + 2 * first;
      k[4 * i] = _mm512_maskz_loadu_epi32(in, four);
      k[4 * i + 1] = _mm512_maskz_loadu_epi32(in, four + b.head_dim);
      k[4 * i + 2] = _mm512_maskz_loadu_epi32(in, four + 2 * b.head_dim);
      k[4 * i + 3] = _mm512_maskz_loadu_epi32(in, four + 3 * b.head_dim);
    }
    transpose(k);
    // Queries are padded with zero pairs to a multiple of 16.
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      prefetch_line(next + (first + i) * 32);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r)
        scores[r] = _mm512_dpbf16_ps(
            scores[r], (__m512bh)k[i], broadcast_pair(queries + (first + i) * kFewRows + r));
    }
  }
}

/// Lane i gets the sum of the lanes of x[i].
TKM_INLINE __m512 sums_of(__m512 (&x)[16]) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i)
    x[i] = _mm512_add_ps(_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]),
                         _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512d even = _mm512_castps_pd(x[2 * i]), odd = _mm512_castps_pd(x[2 * i + 1]);
    x[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(even, odd)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd)));
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
    x[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0x88),
                         _mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0xdd));
  return _mm512_add_ps(_mm512_shuffle_f32x4(x[0], x[1], 0x88),
                       _mm512_shuffle_f32x4(x[0], x[1], 0xdd));
}

/// The same for 1, 2 or 4 rows, by the products of whole rows, summed across lanes at the end: for
/// so few rows cheaper than transposing, and the page is read in order.
template <int kRows>
TKM_INLINE void score_in_order(const Block& b,
                               const uint16_t* keys,
                               const uint16_t* next,
                               __m512 (&scores)[kRows]) {
  constexpr int kAtOnce = 16 / kRows;  ///< Keys
  const int64_t stride = query_stride(b.head_dim);
  auto* queries = static_cast<const uint16_t*>(b.queries);
  __m512 parts[kRows];
#pragma GCC unroll 4
  for (int part = 0; part < kRows; ++part) {
    __m512 sums[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sums[i] = _mm512_setzero_ps();
    for (int64_t first = 0; first < b.head_dim; first += 32) {
      const int64_t left = b.head_dim - first;
      const __mmask32 in = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
      __m512bh q[kRows];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        q[r] = (__m512bh)_mm512_loadu_si512(queries + r * stride + first);
#pragma GCC unroll 16
      for (int i = 0; i < kAtOnce; ++i) {
        const int64_t at = (part * kAtOnce + i) * b.head_dim + first;
        prefetch_line(next + at);
        const __m512bh key = (__m512bh)_mm512_maskz_loadu_epi16(in, keys + at);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r)
          sums[r * kAtOnce + i] = _mm512_dpbf16_ps(sums[r * kAtOnce + i], key, q[r]);
      }
    }
    parts[part] = sums_of(sums);
  }
  // parts[p] has rows one after another, kAtOnce keys each.
  if constexpr (kRows == 1) {
    scores[0] = parts[0];
  } else if constexpr (kRows == 2) {
    scores[0] = _mm512_shuffle_f32x4(parts[0], parts[1], 0x44);
    scores[1] = _mm512_shuffle_f32x4(parts[0], parts[1], 0xee);
  } else {
    const __m512 a = _mm512_shuffle_f32x4(parts[0], parts[1], 0x44);
    const __m512 c = _mm512_shuffle_f32x4(parts[2], parts[3], 0x44);
    const __m512 d = _mm512_shuffle_f32x4(parts[0], parts[1], 0xee);
    const __m512 e = _mm512_shuffle_f32x4(parts[2], parts[3], 0xee);
    scores[0] = _mm512_shuffle_f32x4(a, c, 0x88);
    scores[1] = _mm512_shuffle_f32x4(a, c, 0xdd);
    scores[2] = _mm512_shuffle_f32x4(d, e, 0x88);
    scores[3] = _mm512_shuffle_f32x4(d, e, 0xdd);
  }
}

template <int kRows>
constexpr bool kInOrder = kRows == 1 || kRows == 2 || kRows == 4;

/// Scores of a row in log2 units, hidden ones far below; returns the largest of each lane.
TKM_INLINE __m512 scale_row(const Block& b, const BlockPage& page, int r, __m512 (&scores)[4]) {
  const __m512 scale = _mm512_set1_ps(b.scale * (b.softcap > 0 ? 1.0f : kLog2E));
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __m512 largest = _mm512_set1_ps(kHidden);
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    scores[v] = _mm512_mul_ps(scores[v], scale);
    if (b.softcap > 0)
      scores[v] = _mm512_mul_ps(softcap_lanes(scores[v], b.softcap), _mm512_set1_ps(kLog2E));
    if (page.masked || page.count < kKeys) {
      const int64_t first = b.first_visible[r] - page.first_position;
      const int64_t last =
          std::min<int64_t>(b.last_visible[r] - page.first_position, page.count - 1);
      const __m512i key = _mm512_add_epi32(lane, _mm512_set1_epi32(v * 16));
      const __mmask16 seen =
          _mm512_cmpge_epi32_mask(key, _mm512_set1_epi32(static_cast<int>(first))) &
          _mm512_cmple_epi32_mask(key, _mm512_set1_epi32(static_cast<int>(last)));
      scores[v] = _mm512_mask_blend_ps(seen, _mm512_set1_ps(kHidden), scores[v]);
    }
    largest = _mm512_max_ps(largest, scores[v]);
  }
  return largest;
}

void raise_maximum(const Block& b, int r, float largest) {
  float& maximum = maxima(b, b.state)[r];
  const __m512 keep = exp2_lanes(_mm512_set1_ps(maximum - largest));
  maximum = largest;
  float* total = totals(b, b.state) + r * 16;
  _mm512_storeu_ps(total, _mm512_mul_ps(_mm512_loadu_ps(total), keep));
  const int64_t stride = sum_stride(b.head_dim);
  for (float* sum = b.state + r * stride; sum < b.state + (r + 1) * stride; sum += 16)
    _mm512_storeu_ps(sum, _mm512_mul_ps(_mm512_loadu_ps(sum), keep));
}

/// Weights of a row, bf16, in the order of the keys.
TKM_INLINE void weigh_row(const Block& b, int r, const __m512 (&scores)[4], uint16_t* weights) {
  const __m512 maximum = _mm512_set1_ps(maxima(b, b.state)[r]);
  float* total = totals(b, b.state) + r * 16;
  __m512 w[4];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) w[v] = exp2_lanes(_mm512_sub_ps(scores[v], maximum));
  const __m512 sum = _mm512_add_ps(_mm512_add_ps(w[0], w[1]), _mm512_add_ps(w[2], w[3]));
  _mm512_storeu_ps(total, _mm512_add_ps(_mm512_loadu_ps(total), sum));
  _mm512_storeu_si512(weights, (__m512i)_mm512_cvtne2ps_pbh(w[1], w[0]));
  _mm512_storeu_si512(weights + 32, (__m512i)_mm512_cvtne2ps_pbh(w[3], w[2]));
}

/// Slices of 32 elements that are summed in one pass over the page: as many as the registers hold.
template <int kRows>
constexpr int kSlices = kRows <= 2   ? 4
                        : kRows <= 4 ? 2
                                     : 1;

/// Sums of kWide slices of 32 elements from `first`, all rows, over the page.
template <int kRows, int kWide>
TKM_INLINE void add_values(const Block& b,
                           const BlockPage& page,
                           const uint32_t* weights,
                           int64_t first) {
  const int64_t stride = sum_stride(b.head_dim), left = b.head_dim - first;
  // All slices but the last of a row are whole.
  const __mmask32 whole = ~__mmask32{0};
  const __mmask32 last = left >= 32 * kWide ? whole : (__mmask32{1} << left % 32) - 1;
  auto* values = static_cast<const uint16_t*>(page.values) + first;
  auto* next = static_cast<const uint16_t*>(page.next_keys ? page.next_keys : page.keys) + first;
  __m512 sums[kRows][2 * kWide];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < 2 * kWide; ++v)
      sums[r][v] = _mm512_loadu_ps(b.state + r * stride + first + 16 * v);
  }
  for (int64_t key = 0; key < page.count; key += 2) {
    const bool two = key + 1 < page.count;
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) {
      const __mmask32 in = w == kWide - 1 ? last : whole;
      prefetch_line(next + 32 * w);
      prefetch_line(next + b.head_dim + 32 * w);
      const PairedRows pairs =
          pair_rows(_mm512_maskz_loadu_epi16(in, values + 32 * w),
                    _mm512_maskz_loadu_epi16(two ? in : 0, values + b.head_dim + 32 * w));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m512bh weight = broadcast_pair(weights + r * (kKeys / 2) + key / 2);
        sums[r][2 * w] = _mm512_dpbf16_ps(sums[r][2 * w], pairs.low, weight);
        sums[r][2 * w + 1] = _mm512_dpbf16_ps(sums[r][2 * w + 1], pairs.high, weight);
      }
    }
    values += 2 * b.head_dim;
    next += 2 * b.head_dim;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < 2 * kWide; ++v)
      _mm512_storeu_ps(b.state + r * stride + first + 16 * v, sums[r][v]);
  }
}

template <int kRows>
TKM_INLINE void add_all_values(const Block& b, const BlockPage& page, const uint32_t* weights) {
  constexpr int kWide = kSlices<kRows>;
  int64_t first = 0;
  for (; first + 32 * (kWide - 1) < b.head_dim; first += 32 * kWide)
    add_values<kRows, kWide>(b, page, weights, first);
  for (; first < b.head_dim; first += 32) add_values<kRows, 1>(b, page, weights, first);
}

template <int kRows>
void add_page(const Block& b, const BlockPage& page) {
  auto* keys = static_cast<const uint16_t*>(page.keys);
  auto* weights = static_cast<uint16_t*>(b.scratch);
  auto* values = static_cast<const uint16_t*>(page.values);
  __m512 scores[4][kRows];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    // Positions past the page's count have memory but no meaning: their scores are hidden below.
    const int64_t at = v * 16 * b.head_dim;
    if constexpr (kInOrder<kRows>)
      score_in_order<kRows>(b, keys + at, values + at, scores[v]);
    else
      score_transposed<kRows>(b, keys + at, values + at, scores[v]);
  }
  for (int r = 0; r < kRows; ++r) {
    __m512 row[4] = {scores[0][r], scores[1][r], scores[2][r], scores[3][r]};
    const __m512 largest = scale_row(b, page, r, row);
    const __m512 limit = _mm512_set1_ps(maxima(b, b.state)[r] + kSlack);
    if (_mm512_cmp_ps_mask(largest, limit, _CMP_GT_OQ)) [[unlikely]]
      raise_maximum(b, r, _mm512_reduce_max_ps(largest));
    weigh_row(b, r, row, weights + r * kKeys);
  }
  add_all_values<kRows>(b, page, reinterpret_cast<const uint32_t*>(weights));
}

void add_page_of(const Block& b, const BlockPage& page) {
  constexpr void (*kByRows[])(const Block&, const BlockPage&) = {add_page<1>,
                                                                 add_page<2>,
                                                                 add_page<3>,
                                                                 add_page<4>,
                                                                 add_page<5>,
                                                                 add_page<6>,
                                                                 add_page<7>,
                                                                 add_page<8>};
  kByRows[b.rows - 1](b, page);
}

/// For transposed keys [pair][8], pairs padded with zeros to a multiple of 16; else [row][element],
/// elements padded to a multiple of 32.
void pack_queries(const Block& b, const void* const* rows) {
  const int64_t pairs = b.head_dim / 2, stride = query_stride(b.head_dim);
  std::fill_n(static_cast<uint32_t*>(b.queries), stride / 2 * kFewRows, 0u);
  const bool in_order = b.rows == 1 || b.rows == 2 || b.rows == 4;
  for (int64_t r = 0; r < b.used_rows; ++r) {
    if (in_order) {
      std::copy_n(static_cast<const uint16_t*>(rows[r]),
                  b.head_dim,
                  static_cast<uint16_t*>(b.queries) + r * stride);
      continue;
    }
    auto* to = static_cast<uint32_t*>(b.queries) + r;
    for (int64_t p = 0; p < pairs; ++p)
      __builtin_memcpy(to + p * kFewRows, static_cast<const uint16_t*>(rows[r]) + 2 * p, 4);
  }
}

void clear(const Block& b) {
  std::fill_n(b.state, kFewRows * sum_stride(b.head_dim), 0.0f);
  std::fill_n(maxima(b, b.state), kFewRows, kNoMaximum);
  std::fill_n(totals(b, b.state), kFewRows * 16, 0.0f);
}

void merge(const Block& b, const float* other_state) {
  float* other = const_cast<float*>(other_state);
  const int64_t stride = sum_stride(b.head_dim);
  for (int64_t r = 0; r < b.rows; ++r) {
    float &mine = maxima(b, b.state)[r], theirs = maxima(b, other)[r];
    const float largest = std::max(mine, theirs);
    const __m512 keep = exp2_lanes(_mm512_set1_ps(mine - largest));
    const __m512 add = exp2_lanes(_mm512_set1_ps(theirs - largest));
    mine = largest;
    auto fold = [&](float* to, const float* from) {
      const __m512 kept = _mm512_mul_ps(_mm512_loadu_ps(to), keep);
      _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_loadu_ps(from), add, kept));
    };
    fold(totals(b, b.state) + r * 16, totals(b, other) + r * 16);
    for (int64_t i = r * stride; i < (r + 1) * stride; i += 16) fold(b.state + i, other + i);
  }
}

void store(const Block& b, void* const* rows) {
  for (int64_t r = 0; r < b.used_rows; ++r) {
    const __m512 total = _mm512_loadu_ps(totals(b, b.state) + r * 16);
    const float scale = 1.0f / _mm512_reduce_add_ps(total);
    const float* sums = b.state + r * sum_stride(b.head_dim);
    for (int64_t i = 0; i < b.head_dim; ++i)
      static_cast<uint16_t*>(rows[r])[i] = tensor::float_to_bf16(sums[i] * scale);
  }
}

}  // namespace
}  // namespace tokamak::kernels::cpu
HWY_POP_ATTRIBUTES

namespace tokamak::kernels::cpu {

const BlockKernels* few_rows_avx512_bf16() {
  static const BlockKernels kernels = {
      .name = "few_rows_avx512_bf16",
      .row_multiple = 1,
      .scratch_bytes = [](int64_t) { return kFewRows * kKeys * 2; },
      .state_floats = [](int64_t head_dim) { return kFewRows * (sum_stride(head_dim) + 1 + 16); },
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
const BlockKernels* few_rows_avx512_bf16() {
  return nullptr;
}
}  // namespace tokamak::kernels::cpu
#endif
