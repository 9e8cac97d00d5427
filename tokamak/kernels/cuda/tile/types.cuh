// SPDX-License-Identifier: Apache-2.0
// Numbers of device code: fixed-width integers, bf16 as its 16 bits, conversions, runs of elements
// that move with one access. Nothing in this library includes a system header, so that NVRTC
// compiles a kernel in a fraction of a second.
#pragma once

#define TKM_DEVICE __device__ __forceinline__

namespace tkm {

using i8 = signed char;
using u8 = unsigned char;
using u16 = unsigned short;
using i32 = int;
using u32 = unsigned int;
using i64 = long long;
using u64 = unsigned long long;

struct bf16 {
  u16 bits;
};

/// A run of N elements of T that is loaded and stored at once; sizeof must be at most 16.
template <typename T, int N>
struct alignas(sizeof(T) * N) Run {
  T at[N];
};

TKM_DEVICE float to_float(float x) {
  return x;
}
TKM_DEVICE float to_float(bf16 x) {
  return __uint_as_float(u32{x.bits} << 16);
}
template <typename T>
TKM_DEVICE T from_float(float x);
template <>
TKM_DEVICE float from_float<float>(float x) {
  return x;
}
template <>
TKM_DEVICE bf16 from_float<bf16>(float x) {
  bf16 out;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
  return out;
}
/// Two values as bf16, `low` in the low half.
TKM_DEVICE u32 pack_bf16(float low, float high) {
  u32 out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
TKM_DEVICE float low_bf16(u32 pair) {
  return __uint_as_float(pair << 16);
}
TKM_DEVICE float high_bf16(u32 pair) {
  return __uint_as_float(pair & 0xffff0000u);
}

template <int N, typename T>
TKM_DEVICE void load_floats(const T* from, float* to) {
  Run<T, N> run = *reinterpret_cast<const Run<T, N>*>(from);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = to_float(run.at[i]);
}
template <int N, typename T>
TKM_DEVICE void store_floats(const float* from, T* to) {
  Run<T, N> run;
#pragma unroll
  for (int i = 0; i < N; ++i) run.at[i] = from_float<T>(from[i]);
  *reinterpret_cast<Run<T, N>*>(to) = run;
}

TKM_DEVICE constexpr i64 ceil_div(i64 a, i64 b) {
  return (a + b - 1) / b;
}
TKM_DEVICE constexpr int imin(int a, int b) {
  return a < b ? a : b;
}
TKM_DEVICE constexpr int imax(int a, int b) {
  return a > b ? a : b;
}

constexpr float kInfinity = __builtin_bit_cast(float, 0x7f800000);

}  // namespace tkm
