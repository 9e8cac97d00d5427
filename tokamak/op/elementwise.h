// SPDX-License-Identifier: Apache-2.0
// Sums, products and scalings of whole tensors.
#pragma once

#include "tokamak/op/op.h"

namespace tokamak::op {

/// a + b; b has a's type, or is one row [N] added to each row of a [.., N].
struct Add {
  static constexpr std::string_view kName = "add";
  static constexpr bool kHasState = false;
  static constexpr auto kFields = std::tuple{};
  static Result<Types> infer(const Add&, TypeSpan inputs);
  static void reference(const Add&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// a * b, elementwise; b as for Add.
struct Mul {
  static constexpr std::string_view kName = "mul";
  static constexpr bool kHasState = false;
  static constexpr auto kFields = std::tuple{};
  static Result<Types> infer(const Mul&, TypeSpan inputs);
  static void reference(const Mul&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// x * factor.
struct Scale {
  static constexpr std::string_view kName = "scale";
  static constexpr bool kHasState = false;
  float factor = 1.0f;
  static constexpr auto kFields = std::tuple{Field{"factor", &Scale::factor}};
  static Result<Types> infer(const Scale&, TypeSpan inputs);
  static void reference(const Scale&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// cap * tanh(x / cap): keeps logits within (-cap, cap). Gemma 2, arXiv:2408.00118.
struct Softcap {
  static constexpr std::string_view kName = "softcap";
  static constexpr bool kHasState = false;
  float cap = 0.0f;
  static constexpr auto kFields = std::tuple{Field{"cap", &Softcap::cap}};
  static Result<Types> infer(const Softcap&, TypeSpan inputs);
  static void reference(const Softcap&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// Columns [begin, begin + size) of x [T, N].
struct Slice {
  static constexpr std::string_view kName = "slice";
  static constexpr bool kHasState = false;
  int64_t begin = 0;
  int64_t size = 0;
  static constexpr auto kFields =
      std::tuple{Field{"begin", &Slice::begin}, Field{"size", &Slice::size}};
  static Result<Types> infer(const Slice&, TypeSpan inputs);
  static void reference(const Slice&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

}  // namespace tokamak::op
