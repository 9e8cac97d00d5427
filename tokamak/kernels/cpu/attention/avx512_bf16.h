// SPDX-License-Identifier: Apache-2.0
// Vector pieces that both bf16 attention kernels use. Only for translation units that opened the
// AVX512_BF16 target; everything is inlined.
#pragma once

#include <cstdint>

#include "tokamak/kernels/cpu/intrinsics.h"

namespace tokamak::kernels::cpu {
namespace {

#define TKM_INLINE inline __attribute__((always_inline))

/// Scores are kept in units of log2, so that weights are powers of two.
constexpr float kLog2E = 1.44269504f;
/// A score that nobody sees: below every maximum, finite.
constexpr float kHidden = -3e38f;
/// Maxima before the first page.
constexpr float kNoMaximum = -1e30f;
/// Weights are relative to a maximum that is only raised when a score exceeds it by so much,
/// because raising it rescales the sums. Weights up to 2^8 lose no precision in bf16.
constexpr float kSlack = 8.0f;

/// 2^x within 4e-6, less than the rounding to bf16 that follows.
TKM_INLINE __m512 exp2_lanes(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(0.0096760371f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0559220356f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.240221074f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693121034f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.00000008f));
  return _mm512_scalef_ps(p, whole);
}

/// cap * tanh(x / cap), as 1 - 2 / (e^(2 x / cap) + 1).
TKM_INLINE __m512 softcap_lanes(__m512 x, float cap) {
  const __m512 e = exp2_lanes(_mm512_mul_ps(x, _mm512_set1_ps(2 * kLog2E / cap)));
  const __m512 one = _mm512_set1_ps(1.0f), sum = _mm512_add_ps(e, one);
  const __m512 tanh = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0f), sum));
  return _mm512_mul_ps(tanh, _mm512_set1_ps(cap));
}

TKM_INLINE __m512bh broadcast_pair(const uint32_t* from) {
  return (__m512bh)_mm512_set1_epi32(static_cast<int>(*from));
}

/// The rows of two positions, interleaved: element i of both in word i, words 0-15 and 16-31.
struct PairedRows {
  __m512bh low, high;
};
TKM_INLINE PairedRows pair_rows(__m512i even, __m512i odd) {
  const __m512i lower = _mm512_set_epi16(47,
                                         15,
                                         46,
                                         14,
                                         45,
                                         13,
                                         44,
                                         12,
                                         43,
                                         11,
                                         42,
                                         10,
                                         41,
                                         9,
                                         40,
                                         8,
                                         39,
                                         7,
                                         38,
                                         6,
                                         37,
                                         5,
                                         36,
                                         4,
                                         35,
                                         3,
                                         34,
                                         2,
                                         33,
                                         1,
                                         32,
                                         0);
  const __m512i upper = _mm512_add_epi16(lower, _mm512_set1_epi16(16));
  return {(__m512bh)_mm512_permutex2var_epi16(even, lower, odd),
          (__m512bh)_mm512_permutex2var_epi16(even, upper, odd)};
}

/// A line that is needed half a page later, into L2. Issued one at a time among the products:
/// bursts of them, or none, leave the multipliers waiting for memory.
TKM_INLINE void prefetch_line(const void* line) {
  _mm_prefetch(static_cast<const char*>(line), _MM_HINT_T1);
}

}  // namespace
}  // namespace tokamak::kernels::cpu
