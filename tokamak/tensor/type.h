// SPDX-License-Identifier: Apache-2.0
// The type of a value in a graph: dtype and a shape whose dimensions are constants or one of two
// symbols.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokamak/tensor/dtype.h"

namespace tokamak::tensor {

/// What a symbolic dimension counts in one step.
enum class Symbol {
  kNone,
  kTokens,  ///< "T": rows of the packed batch.
  kRows,    ///< "R": rows for which logits are asked.
};

struct Dim {
  int64_t size = 0;  ///< Of a constant dimension.
  Symbol symbol = Symbol::kNone;

  constexpr Dim(int64_t constant = 0) : size(constant) {}  // NOLINT: implicit by design
  constexpr Dim(Symbol s) : symbol(s) {}                   // NOLINT
  bool is_constant() const { return symbol == Symbol::kNone; }
  friend bool operator==(const Dim&, const Dim&) = default;
};
inline constexpr Dim kTokens{Symbol::kTokens};
inline constexpr Dim kRows{Symbol::kRows};

using Shape = std::vector<int64_t>;

/// Product of the dimensions; 1 for a scalar.
int64_t num_elements(const Shape& shape);
/// "[2, 64]".
std::string shape_text(const Shape& shape);

struct TensorType {
  DType dtype = DType::kF32;
  std::vector<Dim> shape;

  size_t rank() const { return shape.size(); }
  /// The last dimension, which must be a constant.
  int64_t columns() const;
  /// The shape once the symbols have values.
  Shape resolve(int64_t tokens, int64_t rows) const;
  /// "bf16[T, 4096]".
  std::string text() const;
  /// Reads what text() prints.
  static Result<TensorType> parse(std::string_view text);
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

}  // namespace tokamak::tensor

namespace tokamak {
using tensor::Dim;
using tensor::Shape;
using tensor::TensorType;
}  // namespace tokamak
