// SPDX-License-Identifier: Apache-2.0
// bf16 x bf16 through vdpbf16ps, which adds the products of 16 pairs to 16 f32 sums.
//
// Registers of a tile of t tokens: 2 t sums (t x 32 outputs), 2 weights, 1 broadcast pair of x. A
// step reads 128 bytes of weights once for all tokens and issues 2 t products, so a tile of 12 or
// more is bound by the multipliers, one of 1 to 4 by memory.
#include <utility>

#include "tokamak/device/cpu/isa.h"
#include "tokamak/kernels/cpu/gemm/micro_kernel.h"

#if defined(__x86_64__)
#include "tokamak/kernels/cpu/intrinsics.h"
// Before what includes <immintrin.h> too.
#include <hwy/base.h>
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
namespace tokamak::kernels::cpu {
namespace {

template <int kTokens>
inline __attribute__((always_inline)) void step(const uint32_t* x,
                                                const uint32_t* w,
                                                __m512 (&sums)[kTokens][2]) {
  const __m512bh w0 = (__m512bh)_mm512_loadu_si512(w);
  const __m512bh w1 = (__m512bh)_mm512_loadu_si512(w + 16);
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) {
    const __m512bh pair = (__m512bh)_mm512_set1_epi32(static_cast<int>(x[t]));
    sums[t][0] = _mm512_dpbf16_ps(sums[t][0], w0, pair);
    sums[t][1] = _mm512_dpbf16_ps(sums[t][1], w1, pair);
  }
}

template <int kTokens>
void tile(const TileCall& call) {
  auto* x = static_cast<const uint32_t*>(call.x);
  auto* w = static_cast<const uint32_t*>(call.weights);
  const std::byte* prefetch = call.prefetch;
  __m512 sums[kTokens][2];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
  int64_t s = 0;
  for (; s + 4 <= call.steps; s += 4) {
    for (int64_t line = 0; line < call.prefetch_lines; ++line, prefetch += 64)
      _mm_prefetch(reinterpret_cast<const char*>(prefetch), _MM_HINT_T1);
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) step<kTokens>(x + u * kTokens, w + u * 32, sums);
    x += 4 * kTokens;
    w += 4 * 32;
  }
  for (; s < call.steps; ++s) {
    step<kTokens>(x, w, sums);
    x += kTokens;
    w += 32;
  }
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) {
    _mm512_storeu_ps(call.sums + t * 32, sums[t][0]);
    _mm512_storeu_ps(call.sums + t * 32 + 16, sums[t][1]);
  }
}

void pack(const PackCall& call) {
  auto* x = static_cast<const uint16_t*>(call.x);
  auto* to = static_cast<uint32_t*>(call.packed);
  const int64_t pairs = call.depth / 2;
  for (int64_t t = 0; t < call.tokens; ++t) {
    const uint16_t* row = x + t * call.row_stride;
    for (int64_t p = 0; p < pairs; ++p) {
      uint32_t word;
      __builtin_memcpy(&word, row + 2 * p, 4);
      to[p * call.tokens + t] = word;
    }
    if (call.depth % 2) to[pairs * call.tokens + t] = row[call.depth - 1];
  }
}

template <size_t... kIndex>
MicroKernels make_kernels(std::index_sequence<kIndex...>) {
  MicroKernels kernels{.name = "avx512_bf16",
                       .best_tokens = 12,
                       .max_tokens = kMaxTileTokens,
                       .row_is_packed = true,
                       .prefetches = true,
                       .pack = pack};
  ((kernels.tile[kIndex + 1] = tile<static_cast<int>(kIndex) + 1>), ...);
  return kernels;
}

}  // namespace
}  // namespace tokamak::kernels::cpu
HWY_POP_ATTRIBUTES

namespace tokamak::kernels::cpu {

const MicroKernels* micro_kernels_avx512_bf16() {
  if (!device::cpu_info().avx512_bf16) return nullptr;
  static const MicroKernels kernels = make_kernels(std::make_index_sequence<kMaxTileTokens>());
  return &kernels;
}

}  // namespace tokamak::kernels::cpu
#else
namespace tokamak::kernels::cpu {
const MicroKernels* micro_kernels_avx512_bf16() {
  return nullptr;
}
}  // namespace tokamak::kernels::cpu
#endif
