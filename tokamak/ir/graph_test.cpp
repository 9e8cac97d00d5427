// SPDX-License-Identifier: Apache-2.0
#include "tokamak/ir/graph.h"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/ir/functional.h"
#include "tokamak/ir/reference.h"
#include "tokamak/ir/text.h"

namespace tokamak::ir {
namespace {

using testing::ElementsAre;

TEST(FunctionalApi, builds_verifies_and_runs_on_the_reference) {
  Graph graph;
  Value x = graph.input("x", {DType::kF32, {tensor::kTokens, 2}});
  Value w = graph.weight("w", {DType::kF32, {2, 3}});
  Value b = graph.weight("b", {DType::kF32, {3}});
  Value y = relu(matmul(x, w) + b);
  graph.output(y);
  ASSERT_TRUE(graph.verify().ok()) << graph.verify().error().text();
  EXPECT_EQ(y.type().text(), "f32[T, 3]");
  TensorMap weights = {{"w", Tensor::from_floats({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6})},
                       {"b", Tensor::from_floats({3}, std::vector<float>{0.5f, -100, 0})}};
  TensorMap inputs = {{"x", Tensor::from_floats({1, 2}, std::vector<float>{1, -1})}};
  auto out = run_reference(graph, inputs, weights, 1);
  ASSERT_TRUE(out.ok()) << out.error().text();
  EXPECT_THAT((*out)[0].floats(), ElementsAre(0, 0, 0));
  inputs["x"] = Tensor::from_floats({1, 2}, std::vector<float>{1, 1});
  EXPECT_THAT(run_reference(graph, inputs, weights, 1).value()[0].floats(),
              ElementsAre(5.5f, 0, 9));
}

TEST(FunctionalApi, the_first_type_error_is_kept_and_what_follows_is_not_valid) {
  Graph graph;
  Value x = graph.input("x", {DType::kF32, {tensor::kTokens, 2}});
  Value y = relu(matmul(x, graph.weight("w", {DType::kF32, {3, 3}})));
  graph.output(y);
  EXPECT_FALSE(y.valid());
  EXPECT_EQ(graph.verify().error().message, "matmul: x has 2 columns, but w takes 3");
}

constexpr const char* kText = R"(input %x : bf16[T, 64]
input %r : bf16[T, 64]
weight %g : bf16[64]
weight %w = "a"[8] + transpose("b"[24]) : bf16[32, 64]
%y, %s = add_rms_norm(%x, %r, %g) {eps=1e-05} : bf16[T, 64], bf16[T, 64]
%7 = matmul(%y, %w) {transposed=true, activation=gelu_tanh} : bf16[T, 32]
return %7, %s
)";

TEST(Text, round_trips) {
  auto graph = parse_graph(kText);
  ASSERT_TRUE(graph.ok()) << graph.error().text();
  EXPECT_EQ((*graph)->text(), kText);
}

TEST(Text, errors_name_the_line) {
  auto error = [](const char* text) { return parse_graph(text).error().message; };
  EXPECT_EQ(error("input %x : f32[T, 2]\n%y = relu(%x)\n"), "line 2: 'relu' is not an op");
  EXPECT_EQ(error("%y = add(%x, %x)\n"), "line 1: %x is not defined");
  EXPECT_EQ(error("input %x : f32[T, 2]\n%y = softcap(%x)\n"),
            "line 2: softcap: cap is 0, must be positive");
  EXPECT_EQ(error("input %x : f32[T, 2]\n%y = scale(%x) {size=2}\n"),
            "line 2: scale: unknown attribute 'size'");
}

TEST(Graph, replace_and_erase_keep_it_verifiable) {
  auto graph =
      parse_graph(
          "input %x : f32[T, 4]\n%a = scale(%x) {factor=2}\n%b = scale(%a) {factor=3}\nreturn %b\n")
          .value();
  Node* second = graph->nodes()[1];
  Value merged = graph->apply_before(second, op::Scale{.factor = 6}, {graph->inputs()[0]});
  graph->replace(second->output(), merged);
  graph->erase(second);
  graph->erase(graph->nodes()[0]);
  ASSERT_TRUE(graph->verify().ok());
  EXPECT_EQ(graph->num_nodes(), 1u);
  EXPECT_EQ(graph->outputs()[0].producer()->as<op::Scale>()->factor, 6.0f);
}

TEST(Graph, weights_are_found_by_name_through_all_changes) {
  Graph graph;
  const TensorType type{DType::kF32, {4}};
  Value x = graph.input("x", {DType::kF32, {tensor::kTokens, 4}});
  Value a = graph.weight("a", type);
  EXPECT_EQ(graph.weight("a", type), a);
  EXPECT_EQ(graph.find("a"), a);
  Value sum = graph.apply(op::RmsNorm{}, {x, a});
  EXPECT_EQ(graph.find(sum.name()), sum);
  graph.rename(sum, "sum");
  EXPECT_EQ(graph.find("sum"), sum);
  EXPECT_FALSE(graph.find("0").valid());
  graph.rename(a, "b");
  EXPECT_FALSE(graph.find("a").valid());
  EXPECT_EQ(graph.find("b"), a);
  EXPECT_NE(graph.weight("a", type), a);
  graph.erase(sum.producer());
  EXPECT_FALSE(graph.find("sum").valid());
  EXPECT_EQ(graph.erase_unused_weights(), 2);
  EXPECT_FALSE(graph.find("b").valid());
  EXPECT_TRUE(graph.weight("b", type).valid());
  EXPECT_TRUE(graph.verify().ok());
}

TEST(Graph, finding_a_weight_takes_as_long_among_many) {
  const TensorType type{DType::kF32, {4}};
  auto name = [](int i) { return "model.layers.weight." + std::to_string(i); };
  auto seconds = [&](int count) {
    Graph graph;
    for (int i = 0; i < count; ++i) graph.weight(name(i), type);
    double best = 1e9;
    for (int run = 0; run < 5; ++run) {
      auto begin = std::chrono::steady_clock::now();
      for (int i = count - 200; i < count; ++i) graph.weight(name(i), type);
      best = std::min(
          best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return best;
  };
  // Among 100 times as many: not 100 times as long.
  EXPECT_LT(seconds(50'000), 30 * seconds(500));
}

}  // namespace
}  // namespace tokamak::ir
