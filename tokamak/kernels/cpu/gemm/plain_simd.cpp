// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/gemm/plain_simd.h"

#include <algorithm>

#include "tokamak/kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/kernels/cpu/gemm/plain_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include "tokamak/kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {

float element(const float* x) {
  return *x;
}
float element(const uint16_t* x) {
  return tensor::bf16_to_float(*x);
}

template <class X, class W>
void plain_rows(const PlainSums& c) {
  auto* x = static_cast<const X*>(c.x);
  auto* w = static_cast<const W*>(c.w);
  if (c.transposed) {
    for (int64_t j = 0; j < c.count; ++j) {
      const W* row = w + (c.first + j) * c.depth;
      c.sums[j] = sum_lanes(c.depth, [&](auto d, int64_t k) HWY_ATTR {
        return hn::Mul(load(d, x + k), load(d, row + k));
      });
    }
    return;
  }
  std::fill_n(c.sums, c.count, 0.0f);
  for (int64_t k = 0; k < c.depth; ++k) {
    const W* row = w + k * c.outputs + c.first;
    const float factor = element(x + k);
    for_lanes(c.count, [&](auto d, int64_t j) HWY_ATTR {
      const auto sum = hn::LoadU(d, c.sums + j);
      hn::StoreU(hn::MulAdd(load(d, row + j), hn::Set(d, factor), sum), d, c.sums + j);
    });
  }
}

void plain_sums_simd(const PlainSums& call) {
  with_type(call.x_dtype, [&](auto* x_type) HWY_ATTR {
    with_type(call.w_dtype, [&](auto* w_type) HWY_ATTR {
      plain_rows<std::remove_pointer_t<decltype(x_type)>, std::remove_pointer_t<decltype(w_type)>>(
          call);
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::kernels::cpu {

HWY_EXPORT(plain_sums_simd);

void plain_sums(const PlainSums& call) {
  HWY_DYNAMIC_DISPATCH(plain_sums_simd)(call);
}

}  // namespace tokamak::kernels::cpu
#endif
