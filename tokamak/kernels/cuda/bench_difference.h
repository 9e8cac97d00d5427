// SPDX-License-Identifier: Apache-2.0
// How far a kernel's result is from another's, for benches that run every config of a shape.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace tokamak::kernels::cuda {

/// The largest difference from `reference` against the largest value there; infinite for a NaN.
inline double difference(const std::vector<float>& reference, const std::vector<float>& y) {
  double largest = 0, size = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    double d = std::abs(static_cast<double>(y[i]) - reference[i]);
    if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, d);
    size = std::max(size, std::abs(static_cast<double>(reference[i])));
  }
  return largest / size;
}

}  // namespace tokamak::kernels::cuda
