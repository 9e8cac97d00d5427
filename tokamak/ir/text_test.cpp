// SPDX-License-Identifier: Apache-2.0
#include "tokamak/ir/text.h"

#include <random>

#include <gtest/gtest.h>

#include "tokamak/ir/functional.h"

namespace tokamak::ir {
namespace {

/// Every op, every kind of attribute, weights of all forms.
constexpr const char* kEveryOp = R"(input %ids : i32[T]
input %positions : i32[T]
input %rows : i32[R]
weight %table = normalize_rows(transpose("a \"b\" # c\\")) : bf16[11, 8]
weight %qkv = "q"[8] + transpose("k"[4]) + normalize_rows("v"[4]) : bf16[16, 8]
weight %g : bf16[8]
weight %h : bf16[4]
weight %"odd name, #1" : bf16[8]
%x = embedding(%ids, %table) {offset=2} : bf16[T, 8]
%0 = rms_norm(%x, %g) {eps=1e-05, unit_offset=true, group=4} : bf16[T, 8]
%1, %2 = add_rms_norm(%0, %x, %g) {eps=0} : bf16[T, 8], bf16[T, 8]
%3 = layer_norm(%1, %g, %"odd name, #1") {bias=true} : bf16[T, 8]
%4 = matmul(%3, %qkv) {transposed=true, activation=gelu_tanh, gated=true, float_output=true} : f32[T, 8]
%5 = matmul(%3, %qkv) {transposed=true} : bf16[T, 16]
%6 = rope_append(%5, %positions, %h, %h) {num_heads=2, num_kv_heads=1, head_dim=4, qk_norm=true, eps=0.001, rotary_dim=4, theta=500000, scaling=longrope, factor=32, original_max_positions=4096, attention_factor=1.19, factors=[1.5, 2]} : bf16[T, 8]
%7 = attend(%6) {num_heads=2, num_kv_heads=1, head_dim=4, scale=0.5, window=3, softcap=50} : bf16[T, 8]
%8 = slice(%5) {size=8} : bf16[T, 8]
%9 = slice(%5) {begin=8, size=4} : bf16[T, 4]
%10 = slice(%5) {begin=12, size=4} : bf16[T, 4]
%11 = rope(%8, %positions) {head_dim=4, rotary_dim=2, interleaved=true, scaling=yarn, factor=4, beta_fast=16, truncate=false, original_max_positions=64} : bf16[T, 8]
%12 = attention(%11, %9, %10) {layer=1, num_heads=2, num_kv_heads=1, head_dim=4, scale=0.5} : bf16[T, 8]
%13 = activation(%12) {kind=silu} : bf16[T, 8]
%14 = gated_activation(%13) {kind=none} : bf16[T, 4]
%15 = add(%12, %7) : bf16[T, 8]
%16 = mul(%15, %g) : bf16[T, 8]
%17 = scale(%16) {factor=-0.1} : bf16[T, 8]
%18 = softcap(%17) {cap=30} : bf16[T, 8]
%19 = select_rows(%18, %rows) : bf16[R, 8]
%20 = rope_attend(%5, %positions) {layer=2, num_heads=2, num_kv_heads=1, head_dim=4, rotary_dim=4, scale=0.5, window=3} : bf16[T, 8]
%21 = norm_matmul(%20, %qkv, %g) {transposed=true, eps=1e-05, unit_offset=true} : bf16[T, 16]
return %19, %14, %4, %21
)";

std::string error_of(std::string_view text) {
  auto graph = parse_graph(text);
  return graph.ok() ? "none" : graph.error().message;
}

TEST(Text, of_every_op_reads_back) {
  auto graph = parse_graph(kEveryOp);
  ASSERT_TRUE(graph.ok()) << graph.error().text();
  EXPECT_EQ((*graph)->text(), kEveryOp);
  for (const op::OpInfo* info : op::all_ops())
    EXPECT_NE(std::string(kEveryOp).find(fmt::format("= {}(", info->name)), std::string::npos)
        << info->name;
}

TEST(Text, spaces_comments_and_types_of_results_are_free) {
  auto graph = parse_graph(R"(# a graph
 input   %x:f32[T,2]   # the input
	%y=add( %x ,%x )
%z = scale(%y){factor = 2 }# twice

return %z)");
  ASSERT_TRUE(graph.ok()) << graph.error().text();
  EXPECT_EQ((*graph)->text(),
            "input %x : f32[T, 2]\n%y = add(%x, %x) : f32[T, 2]\n"
            "%z = scale(%y) {factor=2} : f32[T, 2]\nreturn %z\n");
}

TEST(Text, numbers_as_names_do_not_collide_with_fresh_ones) {
  auto graph = parse_graph("input %5 : f32[T, 2]\n%1 = scale(%5)\nreturn %1\n").value();
  for (int i = 0; i < 8; ++i) relu(graph->inputs()[0]);
  EXPECT_TRUE(graph->verify().ok()) << graph->verify().error().text();
}

TEST(Text, every_error_names_its_line) {
  const std::string x = "input %x : f32[T, 2]\n";
  struct Case {
    std::string text, error;
  } cases[] = {
      {x + "%y = relu(%x)", "line 2: 'relu' is not an op"},
      {"%y = add(%x, %x)", "line 1: %x is not defined"},
      {x + "\n# c\n%y = softcap(%x)", "line 4: softcap: cap is 0, must be positive"},
      {x + "%y = scale(%x) {size=2}", "line 2: scale: unknown attribute 'size'"},
      {x + "%y = scale(%x) {factor=two}",
       "line 2: scale: 'factor' must be a number, but is string"},
      {x + "%y = scale(%x) {factor=1, factor=2}", "line 2: 'factor' is given twice"},
      {x + "%y = activation(%x) {kind=tanh}",
       "line 2: activation: kind 'tanh' is not one of none, relu, silu, gelu, gelu_tanh"},
      {x + "%y = scale(%x) {factor=1", "line 2: expected '}', found the end"},
      {x + "%y = scale(%x) factor", "line 2: expected the end of the line, found 'factor'"},
      {x + "%y = scale(%x) : f32[T, 3]", "line 2: %y is f32[T, 2], not f32[T, 3]"},
      {x + "%y, %z = scale(%x)", "line 2: scale has 1 results, 2 are named"},
      {x + "%y, %y = add_rms_norm(%x, %x, %x)", "line 2: %y is defined twice"},
      {x + "%x = scale(%x)", "line 2: %x is defined twice"},
      {x + "weight %x : f32[2]", "line 2: %x is defined twice"},
      {x + "%y = scale %x", "line 2: expected '(', found '%x'"},
      {x + "%y = scale(%x,)", "line 2: expected '%', found ')'"},
      {x + "return", "line 2: expected '%', found 'return'"},
      {x + "return %y", "line 2: %y is not defined"},
      {"input %x", "line 1: expected ':', found the end"},
      {"input %x : f32", "line 1: expected a type, found 'f32'"},
      {"input %x : f32[K]", "line 1: 'f32[K]' is not a tensor type"},
      {"input %x : f32[T, 999999999999999]",
       "line 1: dimension 999999999999999 is larger than 281474976710656"},
      {"weight %w : f32[T, 2]", "line 1: weight %w is f32[T, 2], must be constant"},
      {"weight %w = \"a\"[1] + \"b\"[2] : f32[4, 2]",
       "line 1: the parts of %w have 3 rows, but it is f32[4, 2]"},
      {"weight %w = \"a\"[0] + \"b\"[2] : f32[2, 2]", "line 1: '0' is not a number of rows"},
      {"weight %w = \"a : f32[4, 2]", "line 1: expected a closing quote, found the end"},
      {"weight %w = transpose(normalize_rows(\"a\")) : f32[4, 2]",
       "line 1: expected '\"', found 'normalize_rows(\"a\"))'"},
      {"weight % : f32[4]", "line 1: expected a name, found ': f32[4]'"},
  };
  for (const Case& c : cases) EXPECT_EQ(error_of(c.text), c.error) << c.text;
}

TEST(Attributes, read_back_what_was_printed) {
  Json attributes = {{"a", 1}, {"b", -2.5}, {"c", "word"}, {"d", true}, {"e", {1, 2.5}}};
  EXPECT_EQ(attributes_text(attributes), "{a=1, b=-2.5, c=word, d=true, e=[1, 2.5]}");
  EXPECT_EQ(parse_attributes(attributes_text(attributes)).value(), attributes);
  EXPECT_EQ(attributes_text(Json::object()), "");
  EXPECT_EQ(parse_attributes("{} x").error().message,
            "expected the end of the attributes, found 'x'");
}

/// Bytes changed, removed, doubled and lines swapped: the parser answers with a graph or an error
/// of a line, and what it accepts reads back.
TEST(Text, random_mutations_never_crash) {
  std::mt19937 random(1);
  auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const std::string alphabet = "%\"\\#{}[](),=+:. \n-0123456789TRefnaix";
  const std::vector<std::string> tokens = {
      "9223372036854775807", "-1", "f32[T, T]", "i32[T]", "inf", "nan", "1e39", "[]", "transpose("};
  int accepted = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string text = kEveryOp;
    for (size_t edit = 0, edits = 1 + below(2); edit < edits; ++edit) {
      size_t at = below(text.size());
      switch (below(4)) {
        case 0:
          text[at] = alphabet[below(alphabet.size())];
          break;
        case 1:
          text.erase(at, 1 + below(8));
          break;
        case 2:
          text.insert(at, text.substr(below(text.size()), below(16)));
          break;
        default:
          text.insert(at, tokens[below(tokens.size())]);
      }
    }
    auto graph = parse_graph(text);
    if (!graph.ok()) {
      EXPECT_EQ(graph.error().message.rfind("line ", 0), 0u) << graph.error().message;
      continue;
    }
    ++accepted;
    std::string printed = (*graph)->text();
    auto again = parse_graph(printed);
    ASSERT_TRUE(again.ok()) << again.error().message << "\n" << printed;
    EXPECT_EQ((*again)->text(), printed);
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace tokamak::ir
