// SPDX-License-Identifier: Apache-2.0
#include "tokamak/ir/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/ir/text.h"

namespace tokamak::ir {
namespace {

using testing::ElementsAre;
using testing::FloatNear;

Tensor floats(Shape shape, std::vector<float> values) {
  return Tensor::from_floats(std::move(shape), values);
}

std::string error_of(const char* text, const TensorMap& inputs, const TensorMap& checkpoint) {
  auto out = run_reference(*parse_graph(text).value(), inputs, checkpoint, 2);
  return out.ok() ? "none" : out.error().message;
}

TEST(AssembleWeight, stacks_transposes_and_normalizes_parts) {
  auto graph =
      parse_graph(R"(weight %w = "a"[1] + transpose("b"[2]) + normalize_rows("c"[1]) : f32[4, 2])")
          .value();
  TensorMap checkpoint = {{"a", floats({1, 2}, {1, 2})},
                          {"b", floats({2, 2}, {3, 5, 4, 6}).to(DType::kBF16).to(DType::kF32)},
                          {"c", floats({1, 2}, {3, 4}).to(DType::kBF16)}};
  Tensor out = assemble_weight(checkpoint, graph->weights()[0]).value();
  EXPECT_THAT(out.floats(),
              ElementsAre(1, 2, 3, 4, 5, 6, FloatNear(0.6f, 1e-6f), FloatNear(0.8f, 1e-6f)));
}

TEST(AssembleWeight, errors_name_the_weight_the_tensor_and_both_shapes) {
  auto graph = parse_graph(R"(weight %w = "a"[1] + transpose("b"[2]) : f32[3, 2])").value();
  Value w = graph->weights()[0];
  EXPECT_EQ(assemble_weight({}, w).error().message, "weight %w: no tensor 'a'");
  EXPECT_EQ(assemble_weight({{"a", floats({2, 1}, {1, 2})}}, w).error().message,
            "weight %w: tensor 'a' is [2, 1], expected [1, 2]");
  EXPECT_EQ(assemble_weight({{"a", floats({1, 2}, {1, 2})}, {"b", floats({4}, {1, 2, 3, 4})}}, w)
                .error()
                .message,
            "weight %w: tensor 'b' is [4], expected [2, 2]");
}

TEST(RunReference, selects_rows_by_the_input_called_rows) {
  auto graph = parse_graph(R"(input %x : f32[T, 2]
input %rows : i32[R]
%y = select_rows(%x, %rows) : f32[R, 2]
return %y, %x)")
                   .value();
  TensorMap inputs = {{"x", floats({2, 2}, {1, 2, 3, 4})},
                      {"rows", Tensor::from_ints(std::vector<int32_t>{1, 0, 1})}};
  auto out = run_reference(*graph, inputs, {}, 2).value();
  EXPECT_THAT(out[0].floats(), ElementsAre(3, 4, 1, 2, 3, 4));
  EXPECT_THAT(out[1].floats(), ElementsAre(1, 2, 3, 4));
}

TEST(RunReference, errors_name_the_input_and_what_it_must_be) {
  const char* text = "input %x : bf16[T, 2]\ninput %ids : i32[T]\nreturn %x\n";
  Tensor ids = Tensor::from_ints(std::vector<int32_t>{0, 0});
  EXPECT_EQ(error_of(text, {{"ids", ids}}, {}), "no input 'x'");
  EXPECT_EQ(error_of(text, {{"x", floats({1, 2}, {1, 2})}, {"ids", ids}}, {}),
            "input 'x' is f32[1, 2], expected f32[2, 2]");
  EXPECT_EQ(error_of(text, {{"x", floats({2, 2}, {1, 2, 3, 4})}, {"ids", floats({2}, {1, 2})}}, {}),
            "input 'ids' is f32[2], expected i32[2]");
}

TEST(RunReference, refuses_one_layer_with_two_shapes) {
  EXPECT_EQ(error_of(R"(input %q : f32[T, 4]
%a = attention(%q, %q, %q) {num_heads=1, num_kv_heads=1, head_dim=4}
%b = attention(%a, %q, %q) {num_heads=2, num_kv_heads=2, head_dim=2}
return %b)",
                     {{"q", floats({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8})}},
                     {}),
            "layer 0 has 1 kv heads of 4 and also 2 of 2");
}

}  // namespace
}  // namespace tokamak::ir
