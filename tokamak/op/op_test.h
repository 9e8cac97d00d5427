// SPDX-License-Identifier: Apache-2.0
// What the tests of ops share: type rules and references called by text and by value.
#pragma once

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/op/op.h"

namespace tokamak::op {

/// "f32[T, 4], f32[T, 4]", or the error of the type rule, for inputs given as text.
inline std::string types_of(const Op& op, const std::vector<std::string>& inputs) {
  Types types;
  for (const std::string& text : inputs) types.push_back(TensorType::parse(text).value());
  auto out = op.infer(types);
  if (!out.ok()) return out.error().message;
  std::string text;
  for (const TensorType& type : *out) text += (text.empty() ? "" : ", ") + type.text();
  return text;
}

struct TypeCase {
  Op op;
  std::vector<std::string> inputs;
  std::string expected;
};
inline void check_types(const std::vector<TypeCase>& cases) {
  for (const TypeCase& c : cases)
    EXPECT_EQ(types_of(c.op, c.inputs), c.expected) << c.op.name() << c.op.attributes().dump();
}

inline Tensor floats(Shape shape, const std::vector<float>& values) {
  return Tensor::from_floats(std::move(shape), values);
}
inline Tensor ints(const std::vector<int32_t>& values) {
  return Tensor::from_ints(values);
}

/// Runs the reference on tensors whose first dimensions stand for T and R.
inline std::vector<Tensor> run(const Op& op,
                               const std::vector<Tensor>& inputs,
                               const BatchView& batch = {}) {
  Types types;
  std::vector<TensorView> in, out;
  for (const Tensor& input : inputs) {
    types.push_back({input.dtype(), {input.shape().begin(), input.shape().end()}});
    in.push_back(input.view());
  }
  std::vector<Tensor> results;
  Types result_types = op.infer(types).value();
  for (const TensorType& type : result_types) results.emplace_back(type.dtype, type.resolve(0, 0));
  for (const Tensor& result : results) out.push_back(result.view());
  op.reference(batch, in, out);
  return results;
}

/// Each value within `tolerance` of the expected one, relative to it or to one.
inline void expect_near(std::span<const float> got,
                        const std::vector<float>& expected,
                        float tolerance = 1e-6f) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], tolerance * std::max(1.0f, std::abs(expected[i]))) << i;
}

}  // namespace tokamak::op
