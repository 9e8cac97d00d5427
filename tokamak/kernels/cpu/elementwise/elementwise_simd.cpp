// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/elementwise/elementwise_simd.h"

#include "tokamak/kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/kernels/cpu/elementwise/elementwise_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include "tokamak/kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {

void binary_simd(
    BinaryKind kind, DType dtype, const void* a, const void* b, void* y, int64_t count) {
  with_type(dtype, [&](auto* type) HWY_ATTR {
    using T = std::remove_pointer_t<decltype(type)>;
    auto *pa = static_cast<const T*>(a), *pb = static_cast<const T*>(b);
    auto* py = static_cast<T*>(y);
    for_lanes(count, [&](auto d, int64_t i) HWY_ATTR {
      const auto va = load(d, pa + i), vb = load(d, pb + i);
      store(d, kind == BinaryKind::kAdd ? hn::Add(va, vb) : hn::Mul(va, vb), py + i);
    });
  });
}

void scale_simd(float factor, DType dtype, const void* x, void* y, int64_t count) {
  with_type(dtype, [&](auto* type) HWY_ATTR {
    using T = std::remove_pointer_t<decltype(type)>;
    for_lanes(count, [&](auto d, int64_t i) HWY_ATTR {
      store(d,
            hn::Mul(load(d, static_cast<const T*>(x) + i), hn::Set(d, factor)),
            static_cast<T*>(y) + i);
    });
  });
}

void softcap_simd(float cap, DType dtype, const void* x, void* y, int64_t count) {
  with_type(dtype, [&](auto* type) HWY_ATTR {
    using T = std::remove_pointer_t<decltype(type)>;
    for_lanes(count, [&](auto d, int64_t i) HWY_ATTR {
      const auto limit = hn::Set(d, cap);
      const auto v = hn::Div(load(d, static_cast<const T*>(x) + i), limit);
      store(d, hn::Mul(hn::Tanh(d, v), limit), static_cast<T*>(y) + i);
    });
  });
}

void activation_simd(op::ActivationKind kind, DType dtype, const void* x, void* y, int64_t count) {
  with_type(dtype, [&](auto* type) HWY_ATTR {
    using T = std::remove_pointer_t<decltype(type)>;
    with_activation(kind, [&](auto constant) HWY_ATTR {
      for_lanes(count, [&](auto d, int64_t i) HWY_ATTR {
        store(d,
              activate<decltype(constant)::value>(d, load(d, static_cast<const T*>(x) + i)),
              static_cast<T*>(y) + i);
      });
    });
  });
}

void gated_simd(op::ActivationKind kind,
                DType dtype,
                const void* gate,
                const void* up,
                void* y,
                int64_t count) {
  with_type(dtype, [&](auto* type) HWY_ATTR {
    using T = std::remove_pointer_t<decltype(type)>;
    with_activation(kind, [&](auto constant) HWY_ATTR {
      for_lanes(count, [&](auto d, int64_t i) HWY_ATTR {
        const auto f =
            activate<decltype(constant)::value>(d, load(d, static_cast<const T*>(gate) + i));
        store(d, hn::Mul(f, load(d, static_cast<const T*>(up) + i)), static_cast<T*>(y) + i);
      });
    });
  });
}

void convert_simd(DType from, const void* x, DType to, void* y, int64_t count) {
  with_type(from, [&](auto* from_type) HWY_ATTR {
    with_type(to, [&](auto* to_type) HWY_ATTR {
      using From = std::remove_pointer_t<decltype(from_type)>;
      using To = std::remove_pointer_t<decltype(to_type)>;
      for_lanes(count, [&](auto d, int64_t i) HWY_ATTR {
        store(d, load(d, static_cast<const From*>(x) + i), static_cast<To*>(y) + i);
      });
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::kernels::cpu {

HWY_EXPORT(binary_simd);
HWY_EXPORT(scale_simd);
HWY_EXPORT(softcap_simd);
HWY_EXPORT(activation_simd);
HWY_EXPORT(gated_simd);
HWY_EXPORT(convert_simd);

void binary_run(
    BinaryKind kind, DType dtype, const void* a, const void* b, void* y, int64_t count) {
  HWY_DYNAMIC_DISPATCH(binary_simd)(kind, dtype, a, b, y, count);
}
void scale_run(float factor, DType dtype, const void* x, void* y, int64_t count) {
  HWY_DYNAMIC_DISPATCH(scale_simd)(factor, dtype, x, y, count);
}
void softcap_run(float cap, DType dtype, const void* x, void* y, int64_t count) {
  HWY_DYNAMIC_DISPATCH(softcap_simd)(cap, dtype, x, y, count);
}
void activation_run(op::ActivationKind kind, DType dtype, const void* x, void* y, int64_t count) {
  HWY_DYNAMIC_DISPATCH(activation_simd)(kind, dtype, x, y, count);
}
void gated_run(op::ActivationKind kind,
               DType dtype,
               const void* gate,
               const void* up,
               void* y,
               int64_t count) {
  HWY_DYNAMIC_DISPATCH(gated_simd)(kind, dtype, gate, up, y, count);
}
void convert_run(DType from, const void* x, DType to, void* y, int64_t count) {
  HWY_DYNAMIC_DISPATCH(convert_simd)(from, x, to, y, count);
}

}  // namespace tokamak::kernels::cpu
#endif
