// SPDX-License-Identifier: Apache-2.0
// Element types and their conversions to float.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "tokamak/base/result.h"

namespace tokamak::tensor {

enum class DType { kF32, kF16, kBF16, kI32, kI64, kI8, kU8 };

constexpr auto enum_names(DType) {
  return std::array<std::string_view, 7>{"f32", "f16", "bf16", "i32", "i64", "i8", "u8"};
}

std::string_view dtype_name(DType dtype);
int64_t dtype_bytes(DType dtype);
/// Accepts "bf16" and the long spellings of users and configs: "bfloat16", "float16"/"half",
/// "float32"/"float".
Result<DType> dtype_from_name(std::string_view name);
inline bool is_float(DType d) {
  return d == DType::kF32 || d == DType::kF16 || d == DType::kBF16;
}

/// bfloat16: the upper half of a float.
inline float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
/// Round to nearest even; NaN stays NaN.
inline uint16_t float_to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
float f16_to_float(uint16_t bits);
uint16_t float_to_f16(float value);

/// dst[i] = src[i], rounded to nearest even where the type narrows. Both float types; ranges must
/// not overlap.
void convert(DType from, const void* src, DType to, void* dst, int64_t count);

}  // namespace tokamak::tensor

namespace tokamak {
using tensor::DType;
}
