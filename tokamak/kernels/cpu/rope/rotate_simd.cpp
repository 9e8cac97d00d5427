// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/rope/rotate_simd.h"

#include <cmath>

#include "tokamak/kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/kernels/cpu/rope/rotate_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include "tokamak/kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {

void rotate_head(const TokenHeads& h, float* head) {
  if (h.interleaved) {
    for (int64_t i = 0; i < h.num_pairs; ++i) {
      float a = head[2 * i], b = head[2 * i + 1];
      head[2 * i] = a * h.cosines[i] - b * h.sines[i];
      head[2 * i + 1] = b * h.cosines[i] + a * h.sines[i];
    }
    return;
  }
  for_lanes(h.num_pairs, [&](auto d, int64_t i) HWY_ATTR {
    const auto a = hn::LoadU(d, head + i), b = hn::LoadU(d, head + h.num_pairs + i);
    const auto cosine = hn::LoadU(d, h.cosines + i), sine = hn::LoadU(d, h.sines + i);
    hn::StoreU(hn::Sub(hn::Mul(a, cosine), hn::Mul(b, sine)), d, head + i);
    hn::StoreU(hn::MulAdd(b, cosine, hn::Mul(a, sine)), d, head + h.num_pairs + i);
  });
}

void normalize_head(const TokenHeads& h, float* head) {
  float squares = sum_lanes(h.head_dim, [&](auto d, int64_t i) HWY_ATTR {
    const auto v = hn::LoadU(d, head + i);
    return hn::Mul(v, v);
  });
  float scale = 1.0f / std::sqrt(squares / static_cast<float>(h.head_dim) + h.eps);
  for_lanes(h.head_dim, [&](auto d, int64_t i) HWY_ATTR {
    const auto scaled = hn::Mul(hn::LoadU(d, head + i), hn::Set(d, scale));
    hn::StoreU(hn::Mul(scaled, hn::LoadU(d, h.norm_weight + i)), d, head + i);
  });
}

void store_heads_simd(const TokenHeads& h) {
  with_type(h.from_dtype, [&](auto* from_type) HWY_ATTR {
    with_type(h.to_dtype, [&](auto* to_type) HWY_ATTR {
      using From = std::remove_pointer_t<decltype(from_type)>;
      using To = std::remove_pointer_t<decltype(to_type)>;
      for (int64_t n = 0; n < h.num_heads; ++n) {
        auto* from = static_cast<const From*>(h.from) + n * h.head_dim;
        for_lanes(h.head_dim, [&](auto d, int64_t i) HWY_ATTR {
          hn::StoreU(load(d, from + i), d, h.scratch + i);
        });
        if (h.norm_weight) normalize_head(h, h.scratch);
        if (h.num_pairs) rotate_head(h, h.scratch);
        auto* to = reinterpret_cast<To*>(static_cast<std::byte*>(h.to) + n * h.to_stride_bytes);
        for_lanes(h.head_dim, [&](auto d, int64_t i) HWY_ATTR {
          store(d, hn::LoadU(d, h.scratch + i), to + i);
        });
      }
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::kernels::cpu {

HWY_EXPORT(store_heads_simd);

void store_heads(const TokenHeads& heads) {
  HWY_DYNAMIC_DISPATCH(store_heads_simd)(heads);
}

}  // namespace tokamak::kernels::cpu
#endif
