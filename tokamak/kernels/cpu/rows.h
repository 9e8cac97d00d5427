// SPDX-License-Identifier: Apache-2.0
// What the cpu kernels share on the host side: which dtypes they take, how they split rows over
// threads, how a config travels.
#pragma once

#include <algorithm>
#include <cstddef>

#include "tokamak/base/fields.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::kernels::cpu {

/// Dtypes that the kernels read and write; arithmetic is f32.
inline bool is_supported(DType dtype) {
  return dtype == DType::kBF16 || dtype == DType::kF32;
}
/// All float values of the problem have a supported dtype.
inline bool all_supported(const KernelDesc& desc) {
  auto fine = [](const TensorType& type) {
    return !tensor::is_float(type.dtype) || is_supported(type.dtype);
  };
  return std::all_of(desc.inputs.begin(), desc.inputs.end(), fine) &&
         std::all_of(desc.outputs.begin(), desc.outputs.end(), fine);
}

inline const std::byte* offset(const void* data, int64_t bytes) {
  return static_cast<const std::byte*>(data) + bytes;
}
inline std::byte* offset(void* data, int64_t bytes) {
  return static_cast<std::byte*>(data) + bytes;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
constexpr int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

/// Calls f(first, count, thread) for runs of rows of about 16 Ki elements each.
template <class F>
void parallel_rows(base::ThreadPool& pool, int64_t rows, int64_t columns, F&& f) {
  int64_t block = std::max<int64_t>(1, (16 << 10) / std::max<int64_t>(columns, 1));
  pool.parallel_for(ceil_div(rows, block), [&](int64_t i, int thread) {
    int64_t first = i * block;
    f(first, std::min(block, rows - first), thread);
  });
}

/// Rows of a value whose first dimension may be symbolic, in the largest step.
inline int64_t largest_rows(const TensorType& type, int64_t max_tokens, int64_t max_rows) {
  return type.shape.empty() ? 1 : type.resolve(max_tokens, max_rows)[0];
}

/// Tactic::candidates of a tactic that takes the op T in the supported dtypes and has nothing to
/// choose.
template <class T>
std::vector<Json> claim(const KernelDesc& desc, int64_t, const device::Device&) {
  if (!desc.op.as<T>() || !all_supported(desc)) return {};
  return {Json::object()};
}
using Made = Result<std::unique_ptr<Kernel>>;

}  // namespace tokamak::kernels::cpu
