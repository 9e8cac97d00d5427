// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/sampler_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/runtime/sampler_scan.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h, for each target.
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace tokamak::runtime::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kLowest = -std::numeric_limits<float>::infinity();
using Floats = hn::ScalableTag<float>;

float max_of(const float* values, int64_t count) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto most0 = hn::Set(d, kLowest), most1 = most0;
  auto nan = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto a = hn::LoadU(d, values + i), b = hn::LoadU(d, values + i + lanes);
    most0 = hn::Max(a, most0);
    most1 = hn::Max(b, most1);
    nan = hn::Or(nan, hn::VecFromMask(d, hn::Or(hn::IsNaN(a), hn::IsNaN(b))));
  }
  bool has_nan = !hn::AllFalse(d, hn::MaskFromVec(nan));
  float most = hn::GetLane(hn::MaxOfLanes(d, hn::Max(most0, most1)));
  for (; i < count; ++i) {
    has_nan |= std::isnan(values[i]);
    most = std::max(most, values[i]);
  }
  return has_nan ? std::numeric_limits<float>::quiet_NaN() : most;
}

int64_t first_of(const float* values, int64_t count, float value) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto wanted = hn::Set(d, value);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto equal = hn::Eq(hn::LoadU(d, values + i), wanted);
    if (!hn::AllFalse(d, equal)) break;
  }
  for (; i < count; ++i) {
    if (values[i] == value) return i;
  }
  return -1;
}

void block_max(const float* values, int64_t count, int64_t block_size, float* maxima) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t block = 0; block < count; block += block_size) {
    const int64_t end = std::min(block + block_size, count);
    auto most = hn::Set(d, kLowest);
    int64_t i = block;
    for (; i + lanes <= end; i += lanes) most = hn::Max(hn::LoadU(d, values + i), most);
    float best = hn::GetLane(hn::MaxOfLanes(d, most));
    for (; i < end; ++i) best = std::max(best, values[i]);
    maxima[block / block_size] = best;
  }
}

/// Adds the halves of `v` to `low` and `high`.
template <typename D64, typename V, typename V64>
HWY_INLINE void add_promoted(D64 d64, V v, V64& low, [[maybe_unused]] V64& high) {
#if HWY_TARGET == HWY_SCALAR
  low = hn::Add(low, hn::PromoteTo(d64, v));
#else
  const hn::Rebind<float, D64> half;
  low = hn::Add(low, hn::PromoteTo(d64, hn::LowerHalf(half, v)));
  high = hn::Add(high, hn::PromoteTo(d64, hn::UpperHalf(half, v)));
#endif
}

double sum_of(const float* values, int64_t count) {
  const Floats d;
  const hn::ScalableTag<double> d64;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto low = hn::Zero(d64), high = low;
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) add_promoted(d64, hn::LoadU(d, values + i), low, high);
  double sum = hn::GetLane(hn::SumOfLanes(d64, hn::Add(low, high)));
  for (; i < count; ++i) sum += values[i];
  return sum;
}

double exp_of(const float* values, int64_t count, float max, float temperature, float* weights) {
  const Floats d;
  const hn::ScalableTag<double> d64;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto top = hn::Set(d, max), scale = hn::Set(d, 1.0f / temperature);
  auto weigh = [&](auto v) HWY_ATTR { return hn::Exp(d, hn::Mul(hn::Sub(v, top), scale)); };
  auto low = hn::Zero(d64), high = low;
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto weight = weigh(hn::LoadU(d, values + i));
    hn::StoreU(weight, d, weights + i);
    add_promoted(d64, weight, low, high);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d64, hn::Add(low, high)));
  for (; i < count; ++i) {
    weights[i] = hn::GetLane(weigh(hn::Set(d, values[i])));
    sum += weights[i];
  }
  return sum;
}

int64_t at_least(const float* values, int64_t count, float threshold, int32_t* indices) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto least = hn::Set(d, threshold);
  auto index = hn::Iota(di, 0);
  const auto stride = hn::Set(di, static_cast<int32_t>(lanes));
  int64_t found = 0, i = 0;
  for (; i + lanes <= count; i += lanes, index = hn::Add(index, stride)) {
    const auto mask = hn::Ge(hn::LoadU(d, values + i), least);
    if (hn::AllFalse(d, mask)) continue;
    // Through a register: compressing into memory is slow on some processors.
    hn::StoreU(hn::Compress(index, hn::RebindMask(di, mask)), di, indices + found);
    found += static_cast<int64_t>(hn::CountTrue(d, mask));
  }
  for (; i < count; ++i) {
    if (values[i] >= threshold) indices[found++] = static_cast<int32_t>(i);
  }
  return found;
}

}  // namespace tokamak::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::runtime {

HWY_EXPORT(max_of);
HWY_EXPORT(first_of);
HWY_EXPORT(block_max);
HWY_EXPORT(sum_of);
HWY_EXPORT(exp_of);
HWY_EXPORT(at_least);

namespace {
int64_t size(std::span<const float> values) {
  return static_cast<int64_t>(values.size());
}
}  // namespace

float scan_max(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(max_of)(values.data(), size(values));
}
int64_t scan_first(std::span<const float> values, float value) {
  return HWY_DYNAMIC_DISPATCH(first_of)(values.data(), size(values), value);
}
void scan_block_max(std::span<const float> values, int64_t block, float* maxima) {
  HWY_DYNAMIC_DISPATCH(block_max)(values.data(), size(values), block, maxima);
}
double scan_sum(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(sum_of)(values.data(), size(values));
}
double scan_exp(std::span<const float> values, float max, float temperature, float* weights) {
  return HWY_DYNAMIC_DISPATCH(exp_of)(values.data(), size(values), max, temperature, weights);
}
int64_t scan_at_least(std::span<const float> values, float threshold, int32_t* indices) {
  return HWY_DYNAMIC_DISPATCH(at_least)(values.data(), size(values), threshold, indices);
}

}  // namespace tokamak::runtime
#endif  // HWY_ONCE
