// SPDX-License-Identifier: Apache-2.0
// Any mix of bf16 and f32 through f32 multiply-adds, for every instruction set.
//
// A panel of 32 outputs is worked off in slices of two vectors (8 outputs with SSE4, 16 with AVX2,
// all 32 with AVX-512). Packed x is f32, so that only the weights are widened in the loop: a word
// of two bf16 becomes an even and an odd vector by one shift and one mask.
#include "tokamak/kernels/cpu/gemm/micro_kernel.h"
#include "tokamak/kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/kernels/cpu/gemm/micro_kernel_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include "tokamak/kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

template <int kTokens>
HWY_INLINE void add_products(const float* x, V w0, V w1, V (&sums)[kTokens][2]) {
  const D d;
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    const V xt = hn::Set(d, x[t]);
    sums[t][0] = hn::MulAdd(w0, xt, sums[t][0]);
    sums[t][1] = hn::MulAdd(w1, xt, sums[t][1]);
  }
}

template <int kTokens, bool kPairs>
HWY_INLINE void tile_slice(const TileCall& call, int64_t first_output) {
  const D d;
  const hn::RebindToUnsigned<D> du;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto* x = static_cast<const float*>(call.x);
  auto* w = static_cast<const uint32_t*>(call.weights) + first_output;
  V sums[kTokens][2];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) sums[t][0] = sums[t][1] = hn::Zero(d);
  for (int64_t s = 0; s < call.steps; ++s, w += 32) {
    const auto w0 = hn::LoadU(du, w), w1 = hn::LoadU(du, w + lanes);
    if constexpr (kPairs) {
      const auto high = hn::Set(du, 0xffff0000u);
      add_products<kTokens>(
          x, hn::BitCast(d, hn::ShiftLeft<16>(w0)), hn::BitCast(d, hn::ShiftLeft<16>(w1)), sums);
      add_products<kTokens>(
          x + kTokens, hn::BitCast(d, hn::And(w0, high)), hn::BitCast(d, hn::And(w1, high)), sums);
      x += 2 * kTokens;
    } else {
      add_products<kTokens>(x, hn::BitCast(d, w0), hn::BitCast(d, w1), sums);
      x += kTokens;
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    hn::StoreU(sums[t][0], d, call.sums + t * 32 + first_output);
    hn::StoreU(sums[t][1], d, call.sums + t * 32 + first_output + lanes);
  }
}

template <int kTokens, bool kPairs>
void tile_simd(const TileCall& call) {
  const int64_t width = 2 * static_cast<int64_t>(hn::Lanes(D()));
  for (int64_t first = 0; first < 32; first += width) tile_slice<kTokens, kPairs>(call, first);
}

/// To f32, [step of one element][tokens]; an odd depth of paired weights gets a zero element.
template <class X, bool kPairs>
void pack_simd(const PackCall& call) {
  auto* x = static_cast<const X*>(call.x);
  auto* to = static_cast<float*>(call.packed);
  for (int64_t t = 0; t < call.tokens; ++t) {
    const X* row = x + t * call.row_stride;
    for (int64_t k = 0; k < call.depth; ++k) {
      if constexpr (sizeof(X) == 2)
        to[k * call.tokens + t] = tensor::bf16_to_float(row[k]);
      else
        to[k * call.tokens + t] = row[k];
    }
    if (kPairs && call.depth % 2) to[call.depth * call.tokens + t] = 0.0f;
  }
}

template <class X, bool kPairs>
MicroKernels kernels_of(std::string_view name) {
  // AVX-512 has 32 registers, the others 16.
  constexpr int64_t kTile = HWY_TARGET == HWY_AVX3 ? 8 : 4;
  MicroKernels k{.name = name,
                 .best_tokens = kTile,
                 .max_tokens = kTile,
                 .words_per_step = kPairs ? 2 : 1,
                 .row_is_packed = sizeof(X) == 4,
                 .pack = pack_simd<X, kPairs>};
  k.tile[1] = tile_simd<1, kPairs>;
  k.tile[2] = tile_simd<2, kPairs>;
  k.tile[3] = tile_simd<3, kPairs>;
  k.tile[4] = tile_simd<4, kPairs>;
  if constexpr (kTile == 8) {
    k.tile[5] = tile_simd<5, kPairs>;
    k.tile[6] = tile_simd<6, kPairs>;
    k.tile[7] = tile_simd<7, kPairs>;
    k.tile[8] = tile_simd<8, kPairs>;
  }
  return k;
}

void kernels_simd(bool x_bf16, bool w_bf16, MicroKernels& out) {
  const std::string_view name = hwy::TargetName(HWY_TARGET);
  if (x_bf16)
    out = w_bf16 ? kernels_of<uint16_t, true>(name) : kernels_of<uint16_t, false>(name);
  else
    out = w_bf16 ? kernels_of<float, true>(name) : kernels_of<float, false>(name);
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::kernels::cpu {

HWY_EXPORT(kernels_simd);

const MicroKernels& micro_kernels_simd(DType x, DType w) {
  auto make = [](bool x_bf16, bool w_bf16) {
    MicroKernels kernels;
    HWY_DYNAMIC_DISPATCH(kernels_simd)(x_bf16, w_bf16, kernels);
    return kernels;
  };
  static const MicroKernels sets[2][2] = {{make(false, false), make(false, true)},
                                          {make(true, false), make(true, true)}};
  return sets[x == DType::kBF16][w == DType::kBF16];
}

}  // namespace tokamak::kernels::cpu
#endif
