// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/weight_part.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace tokamak::tensor {
namespace {

/// Columns [first, first + count) of a stored matrix become rows.
void read_columns(const TensorView& stored, int64_t first, int64_t count, std::span<float> out) {
  const auto* data = static_cast<const std::byte*>(stored.data);
  const int64_t depth = stored.shape[0], width = stored.shape[1];
  std::vector<float> line(static_cast<size_t>(count));
  for (int64_t k = 0; k < depth; ++k) {
    const std::byte* from = data + (k * width + first) * dtype_bytes(stored.dtype);
    convert(stored.dtype, from, DType::kF32, line.data(), count);
    for (int64_t r = 0; r < count; ++r)
      out[static_cast<size_t>(r * depth + k)] = line[static_cast<size_t>(r)];
  }
}

void normalize(std::span<float> row) {
  const double squares = std::inner_product(
      row.begin(), row.end(), row.begin(), 0.0, std::plus<>(), [](float a, float b) {
        return static_cast<double>(a) * b;
      });
  const auto scale = static_cast<float>(1.0 / std::max(std::sqrt(squares), 1e-12));
  for (float& value : row) value *= scale;
}

}  // namespace

Shape stored_shape(const TensorType& type, const WeightPart& part) {
  Shape shape = type.resolve(0, 0);
  if (!shape.empty()) shape[0] = part.rows;
  if (part.transposed) std::reverse(shape.begin(), shape.end());
  return shape;
}

void read_rows(const WeightPart& part,
               const TensorView& stored,
               int64_t first,
               int64_t count,
               std::span<float> out) {
  const int64_t columns = stored.count() / part.rows;
  if (part.transposed) {
    read_columns(stored, first, count, out);
  } else {
    const auto* data = static_cast<const std::byte*>(stored.data);
    const std::byte* from = data + first * columns * dtype_bytes(stored.dtype);
    convert(stored.dtype, from, DType::kF32, out.data(), count * columns);
  }
  if (!part.normalize_rows) return;
  for (int64_t r = 0; r < count; ++r)
    normalize(out.subspan(static_cast<size_t>(r * columns), static_cast<size_t>(columns)));
}

}  // namespace tokamak::tensor
