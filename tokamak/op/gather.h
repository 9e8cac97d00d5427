// SPDX-License-Identifier: Apache-2.0
// Rows picked by index: token and position embeddings, and the rows whose logits are wanted.
#pragma once

#include "tokamak/op/op.h"

namespace tokamak::op {

/// y[t] = table[ids[t]] for ids i32[T], table [V, H]. Ids are in range: the front end has checked
/// them.
struct Embedding {
  static constexpr std::string_view kName = "embedding";
  static constexpr bool kHasState = false;
  int64_t offset = 0;  ///< Added to each id (position tables that begin with reserved rows).
  static constexpr auto kFields = std::tuple{Field{"offset", &Embedding::offset}};
  static Result<Types> infer(const Embedding&, TypeSpan inputs);
  static void reference(const Embedding&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// y[r] = x[rows[r]] for x [T, H], rows i32[R].
struct SelectRows {
  static constexpr std::string_view kName = "select_rows";
  static constexpr bool kHasState = false;
  static constexpr auto kFields = std::tuple{};
  static Result<Types> infer(const SelectRows&, TypeSpan inputs);
  static void reference(const SelectRows&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

}  // namespace tokamak::op
