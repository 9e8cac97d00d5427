// SPDX-License-Identifier: Apache-2.0
// What a stored tensor gives to a weight. The graph, the plan, the reference and the loader all
// mean this, and read_rows() is its one meaning.
#pragma once

#include <span>
#include <string>
#include <tuple>

#include "tokamak/base/fields.h"
#include "tokamak/tensor/tensor.h"

namespace tokamak::tensor {

/// One stored tensor of which a weight is made; a weight's parts stand one below the other.
struct WeightPart {
  std::string tensor;           ///< Name in the checkpoint.
  int64_t rows = 0;             ///< Of the weight, that this part gives.
  bool transposed = false;      ///< Stored [K, N], used [N, K].
  bool normalize_rows = false;  ///< Each row divided by its L2 norm (Baichuan 2's NormHead).
  static constexpr auto kFields = std::tuple{Field{"tensor", &WeightPart::tensor},
                                             Field{"rows", &WeightPart::rows},
                                             Field{"transposed", &WeightPart::transposed},
                                             Field{"normalize_rows", &WeightPart::normalize_rows}};
  /// The values are those of the tensor, in its order.
  bool plain() const { return !transposed && !normalize_rows; }
  friend bool operator==(const WeightPart&, const WeightPart&) = default;
};

/// The shape that the part's tensor must have for a weight of `type`.
Shape stored_shape(const TensorType& type, const WeightPart& part);

/// Rows [first, first + count) of the part as f32, count x columns of the weight. `stored` has the
/// part's stored_shape(), two dimensions if it is transposed. Thread-safe.
void read_rows(const WeightPart& part,
               const TensorView& stored,
               int64_t first,
               int64_t count,
               std::span<float> out);

}  // namespace tokamak::tensor

namespace tokamak {
using tensor::WeightPart;
}
