// SPDX-License-Identifier: Apache-2.0
// Vector code shared by the cpu kernels: bf16 and f32 as float lanes, loops with tails,
// activations. Compiled once for each instruction set: include after hwy/foreach_target.h.
#if defined(TOKAMAK_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOKAMAK_KERNELS_CPU_SIMD_INL_H_
#undef TOKAMAK_KERNELS_CPU_SIMD_INL_H_
#else
#define TOKAMAK_KERNELS_CPU_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "tokamak/op/activation.h"
#include "tokamak/tensor/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// bf16 is stored as uint16_t; loads widen to float, stores round to nearest even.
template <class D>
HWY_INLINE hn::Vec<D> load([[maybe_unused]] D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> load([[maybe_unused]] D d, const uint16_t* from) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::Rebind<uint32_t, D> d32;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, from))));
}
template <class D>
HWY_INLINE void store([[maybe_unused]] D d, hn::Vec<D> v, float* to) {
  hn::StoreU(v, d, to);
}
template <class D>
HWY_INLINE void store([[maybe_unused]] D d, hn::Vec<D> v, uint16_t* to) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::Rebind<uint32_t, D> d32;
  const hn::Rebind<int32_t, D> di32;
  const auto bits = hn::BitCast(d32, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fffu)));
  const auto quiet_nan = hn::Or(bits, hn::Set(d32, 0x400000u));
  const auto kept = hn::IfThenElse(hn::RebindMask(d32, hn::Ne(v, v)), quiet_nan, rounded);
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di32, hn::ShiftRight<16>(kept))), d16, to);
}

/// Calls f(tag, i) for whole vectors of [0, count), then with a one-lane tag for each element left.
template <class F>
HWY_INLINE void for_lanes(int64_t count, F&& f) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) f(d, i);
  for (; i < count; ++i) f(d1, i);
}

/// Sum of f(tag, i) over the elements, where f returns a vector of the tag's lanes.
template <class F>
HWY_INLINE float sum_lanes(int64_t count, F&& f) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    sum0 = hn::Add(sum0, f(d, i));
    sum1 = hn::Add(sum1, f(d, i + lanes));
  }
  for (; i + lanes <= count; i += lanes) sum0 = hn::Add(sum0, f(d, i));
  float tail = 0;
  for (; i < count; ++i) tail += hn::GetLane(f(d1, i));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1))) + tail;
}

/// c[0] + c[1] x + … by Horner's rule.
template <class D, size_t kCount>
HWY_INLINE hn::Vec<D> polynomial(D d, hn::Vec<D> x, const float (&c)[kCount]) {
  auto sum = hn::Set(d, c[kCount - 1]);
  for (size_t i = kCount - 1; i-- > 0;) sum = hn::MulAdd(sum, x, hn::Set(d, c[i]));
  return sum;
}

/// Within 3 ulp: x P(x^2) near zero, 1 - exp(Q(|x|)) beyond one, where Q fits log(erfc).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V erf(D d, V x) {
  constexpr float kNear[] = {1.12837917f,
                             -0.376126269f,
                             0.112835975f,
                             -0.0268543288f,
                             0.00518931194f,
                             -0.000801885497f,
                             7.88249702e-05f};
  constexpr float kFar[] = {0.000400500508f,
                            -1.13060447f,
                            -0.631088868f,
                            -0.110907417f,
                            0.0269994972f,
                            -0.00502104478f,
                            0.000673337557f,
                            -6.00687973e-05f,
                            3.0952048e-06f,
                            -6.58285864e-08f};
  const V magnitude = hn::Abs(x), one = hn::Set(d, 1.0f);
  const V near = hn::Mul(x, polynomial(d, hn::Mul(x, x), kNear));
  const V q = polynomial(d, hn::Min(magnitude, hn::Set(d, 4.0f)), kFar);
  const V far = hn::CopySign(hn::Sub(one, hn::Exp(d, q)), x);
  return hn::IfThenElse(hn::Le(magnitude, one), near, far);
}

template <op::ActivationKind kKind, class D, class V = hn::Vec<D>>
HWY_INLINE V activate(D d, V x) {
  using enum op::ActivationKind;
  if constexpr (kKind == kRelu) {
    return hn::Max(x, hn::Zero(d));
  } else if constexpr (kKind == kSilu) {
    // exp overflows beyond 88, where the quotient is zero anyway.
    const V e = hn::Exp(d, hn::Min(hn::Neg(x), hn::Set(d, 88.0f)));
    return hn::Div(x, hn::Add(hn::Set(d, 1.0f), e));
  } else if constexpr (kKind == kGelu) {
    const V half = hn::Mul(x, hn::Set(d, 0.5f));
    return hn::MulAdd(half, erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f))), half);
  } else if constexpr (kKind == kGeluTanh) {
    const V half = hn::Mul(x, hn::Set(d, 0.5f));
    const V cubic = hn::Mul(hn::Mul(x, x), x);
    const V inner =
        hn::Mul(hn::Set(d, 0.79788456080286536f), hn::MulAdd(hn::Set(d, 0.044715f), cubic, x));
    return hn::MulAdd(half, hn::Tanh(d, inner), half);
  } else {
    return x;
  }
}

/// Calls f with the activation as a compile-time constant.
template <class F>
HWY_INLINE void with_activation(op::ActivationKind kind, F&& f) {
  using enum op::ActivationKind;
  switch (kind) {
    case kNone:
      return f(std::integral_constant<op::ActivationKind, kNone>{});
    case kRelu:
      return f(std::integral_constant<op::ActivationKind, kRelu>{});
    case kSilu:
      return f(std::integral_constant<op::ActivationKind, kSilu>{});
    case kGelu:
      return f(std::integral_constant<op::ActivationKind, kGelu>{});
    case kGeluTanh:
      return f(std::integral_constant<op::ActivationKind, kGeluTanh>{});
  }
}

/// Calls f with a null pointer of the element type: uint16_t for bf16, else float.
template <class F>
HWY_INLINE void with_type(DType dtype, F&& f) {
  if (dtype == DType::kBF16)
    f(static_cast<uint16_t*>(nullptr));
  else
    f(static_cast<float*>(nullptr));
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();
#endif
