// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/norm/norm_simd.h"

#include <cmath>

#include "tokamak/kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/kernels/cpu/norm/norm_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include "tokamak/kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {

/// Runs of one group: moments first, then the scaled copy. The row is in the cache the second time.
template <class X, class W>
void norm_group(const NormRow& row, int64_t begin) {
  auto* x = static_cast<const X*>(row.x) + begin;
  auto* residual = row.residual ? static_cast<const X*>(row.residual) + begin : nullptr;
  auto* weight = static_cast<const W*>(row.weight) + begin % row.weights;
  auto* bias = row.bias ? static_cast<const W*>(row.bias) + begin % row.weights : nullptr;
  auto* y = static_cast<X*>(row.y) + begin;
  auto value = [&](auto d, int64_t i) HWY_ATTR {
    return residual ? hn::Add(load(d, x + i), load(d, residual + i)) : load(d, x + i);
  };
  const float count = static_cast<float>(row.group);
  float mean = 0;
  if (row.centered) mean = sum_lanes(row.group, value) / count;
  float squares = sum_lanes(row.group, [&](auto d, int64_t i) HWY_ATTR {
    const auto centered = hn::Sub(value(d, i), hn::Set(d, mean));
    return hn::Mul(centered, centered);
  });
  const float scale = 1.0f / std::sqrt(squares / count + row.eps);
  const float unit = row.unit_offset ? 1.0f : 0.0f;
  for_lanes(row.group, [&](auto d, int64_t i) HWY_ATTR {
    const auto v = value(d, i);
    if (residual) store(d, v, static_cast<X*>(row.sum) + begin + i);
    const auto scaled = hn::Mul(hn::Sub(v, hn::Set(d, mean)), hn::Set(d, scale));
    auto out = hn::Mul(scaled, hn::Add(load(d, weight + i), hn::Set(d, unit)));
    if (bias) out = hn::Add(out, load(d, bias + i));
    store(d, out, y + i);
  });
}

void norm_row_simd(const NormRow& row) {
  with_type(row.dtype, [&](auto* x_type) HWY_ATTR {
    with_type(row.weight_dtype, [&](auto* w_type) HWY_ATTR {
      using X = std::remove_pointer_t<decltype(x_type)>;
      using W = std::remove_pointer_t<decltype(w_type)>;
      for (int64_t begin = 0; begin < row.columns; begin += row.group) norm_group<X, W>(row, begin);
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::kernels::cpu {

HWY_EXPORT(norm_row_simd);

void norm_row(const NormRow& row) {
  HWY_DYNAMIC_DISPATCH(norm_row_simd)(row);
}

}  // namespace tokamak::kernels::cpu
#endif
