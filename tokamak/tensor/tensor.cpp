// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/tensor.h"

#include <cstring>
#include <new>

namespace tokamak::tensor {

Tensor::Tensor(DType dtype, Shape shape) {
  view_.dtype = dtype;
  view_.shape = std::move(shape);
  size_t bytes = static_cast<size_t>(view_.bytes());
  constexpr std::align_val_t kAlignment{64};
  auto* memory = static_cast<std::byte*>(::operator new[](bytes + 64, kAlignment));
  std::memset(memory, 0, bytes + 64);
  storage_ = std::shared_ptr<std::byte[]>(memory,
                                          [](std::byte* p) { ::operator delete[](p, kAlignment); });
  view_.data = memory;
}

Tensor Tensor::from_floats(Shape shape, std::span<const float> values) {
  Tensor out(DType::kF32, std::move(shape));
  TKM_CHECK(out.count() == static_cast<int64_t>(values.size()),
            "{} values for {}",
            values.size(),
            shape_text(out.shape()));
  std::copy(values.begin(), values.end(), out.floats().begin());
  return out;
}

Tensor Tensor::from_ints(std::span<const int32_t> values) {
  Tensor out(DType::kI32, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), out.ints().begin());
  return out;
}

Tensor Tensor::to(DType dtype) const {
  Tensor out(dtype, view_.shape);
  convert(view_.dtype, view_.data, dtype, out.view_.data, view_.count());
  return out;
}

}  // namespace tokamak::tensor
