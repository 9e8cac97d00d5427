// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/dtype.h"

#include "tokamak/base/fields.h"

namespace tokamak::tensor {

std::string_view dtype_name(DType dtype) {
  return base::enum_name(dtype);
}

int64_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kI64:
      return 8;
    case DType::kI8:
    case DType::kU8:
      return 1;
  }
  return 0;
}

Result<DType> dtype_from_name(std::string_view name) {
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float16" || name == "half") return DType::kF16;
  if (name == "float32" || name == "float") return DType::kF32;
  return base::enum_from_name<DType>(name, "dtype");
}

float f16_to_float(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  uint32_t exponent = (bits >> 10) & 0x1fu;
  uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t float_to_f16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                        // subnormal: let the FPU round at 2^-24
    float scaled = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(scaled) - 0x3f000000u));
  }
  uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

namespace {

float load(DType dtype, const void* src, int64_t i) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(src)[i];
    case DType::kBF16:
      return bf16_to_float(static_cast<const uint16_t*>(src)[i]);
    case DType::kF16:
      return f16_to_float(static_cast<const uint16_t*>(src)[i]);
    default:
      break;
  }
  TKM_CHECK(false, "convert: {} is not a float type", dtype_name(dtype));
}

}  // namespace

void convert(DType from, const void* src, DType to, void* dst, int64_t count) {
  if (from == to) {
    if (count > 0) std::memcpy(dst, src, static_cast<size_t>(count * dtype_bytes(from)));
    return;
  }
  if (from == DType::kBF16 && to == DType::kF32) {
    for (int64_t i = 0; i < count; ++i) {
      static_cast<float*>(dst)[i] = bf16_to_float(static_cast<const uint16_t*>(src)[i]);
    }
    return;
  }
  if (from == DType::kF32 && to == DType::kBF16) {
    for (int64_t i = 0; i < count; ++i) {
      static_cast<uint16_t*>(dst)[i] = float_to_bf16(static_cast<const float*>(src)[i]);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    float value = load(from, src, i);
    switch (to) {
      case DType::kF32:
        static_cast<float*>(dst)[i] = value;
        break;
      case DType::kBF16:
        static_cast<uint16_t*>(dst)[i] = float_to_bf16(value);
        break;
      case DType::kF16:
        static_cast<uint16_t*>(dst)[i] = float_to_f16(value);
        break;
      default:
        TKM_CHECK(false, "convert: {} is not a float type", dtype_name(to));
    }
  }
}

}  // namespace tokamak::tensor
