// SPDX-License-Identifier: Apache-2.0
// Tensors in host memory: views that do not own, and buffers that do. Always dense and row-major.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "tokamak/tensor/type.h"

namespace tokamak::tensor {

/// A dense row-major array that somebody else owns. `data` may be device memory: who holds the view
/// knows.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  void* data = nullptr;

  int64_t count() const { return num_elements(shape); }
  int64_t bytes() const { return count() * dtype_bytes(dtype); }
  /// All dimensions but the last, multiplied.
  int64_t rows() const { return shape.empty() ? 1 : count() / (shape.back() ? shape.back() : 1); }
  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }

  /// The elements as T; checks that T is the dtype.
  template <typename T>
  std::span<T> as() const;
};

/// Owns 64-byte-aligned host memory, zero-filled.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, Shape shape);
  static Tensor from_floats(Shape shape, std::span<const float> values);
  static Tensor from_ints(std::span<const int32_t> values);

  const TensorView& view() const { return view_; }
  const Shape& shape() const { return view_.shape; }
  DType dtype() const { return view_.dtype; }
  int64_t count() const { return view_.count(); }
  std::span<float> floats() const { return view_.as<float>(); }
  std::span<int32_t> ints() const { return view_.as<int32_t>(); }
  /// A copy with the elements rounded to `dtype`.
  Tensor to(DType dtype) const;

 private:
  std::shared_ptr<std::byte[]> storage_;
  TensorView view_;
};

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kF32;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::kI32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::kI64;
}
template <>
constexpr DType dtype_of<uint16_t>() {
  return DType::kBF16;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::kU8;
}

template <typename T>
std::span<T> TensorView::as() const {
  TKM_CHECK(dtype == dtype_of<std::remove_const_t<T>>() || (sizeof(T) == 2 && dtype == DType::kF16),
            "tensor of {} read as {}",
            dtype_name(dtype),
            dtype_name(dtype_of<std::remove_const_t<T>>()));
  return {static_cast<T*>(data), static_cast<size_t>(count())};
}

}  // namespace tokamak::tensor

namespace tokamak {
using tensor::Tensor;
using tensor::TensorView;
}  // namespace tokamak
