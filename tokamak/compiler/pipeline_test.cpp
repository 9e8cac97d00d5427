// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/ir/text.h"
#include "tokamak/models/golden_test.h"
#include "tokamak/passes/pass_list_test.h"
#include "tokamak/passes/random_graph_test.h"

namespace tokamak::compiler {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

models::DecoderSpec small_llama(int64_t num_layers) {
  models::DecoderSpec spec;
  spec.family = "llama";
  spec.vocab_size = 32;
  spec.hidden_size = 16;
  spec.intermediate_size = 24;
  spec.num_heads = 4;
  spec.num_kv_heads = 2;
  spec.head_dim = 4;
  spec.max_positions = 128;
  spec.layers = models::uniform_layers(num_layers, {.rotary_dim = 4});
  return spec;
}

std::unique_ptr<ir::Graph> optimized(const models::DecoderSpec& spec) {
  auto graph = models::decoder_graph(spec, DType::kBF16).value();
  EXPECT_TRUE(run_pipeline(*graph).ok());
  return graph;
}

/// The ops from one layer's attention to the next one's, in order.
std::vector<std::string> ops_of_a_layer(models::DecoderSpec spec) {
  spec.layers.resize(2, spec.layers[0]);
  auto graph = optimized(spec);
  std::vector<std::string> names;
  bool inside = false;
  for (const ir::Node* node : graph->nodes()) {
    if (inside) names.emplace_back(node->op().name());
    if (!node->as<op::Attend>()) continue;
    if (inside) return names;
    inside = true;
  }
  return names;
}

constexpr const char* kLlama = R"(input %token_ids : i32[T]
input %positions : i32[T]
input %rows : i32[R]
weight %model.embed_tokens.weight : bf16[32, 16]
weight %model.layers.0.input_layernorm.weight : bf16[16]
weight %model.layers.0.self_attn.o_proj.weight : bf16[16, 16]
weight %model.layers.0.post_attention_layernorm.weight : bf16[16]
weight %model.layers.0.mlp.down_proj.weight : bf16[16, 24]
weight %model.norm.weight : bf16[16]
weight %lm_head.weight : bf16[32, 16]
weight %model.layers.0.self_attn.q_proj+k_proj+v_proj.weight = "model.layers.0.self_attn.q_proj.weight"[16] + "model.layers.0.self_attn.k_proj.weight"[8] + "model.layers.0.self_attn.v_proj.weight"[8] : bf16[32, 16]
weight %model.layers.0.mlp.gate_proj+up_proj.weight = "model.layers.0.mlp.gate_proj.weight"[24] + "model.layers.0.mlp.up_proj.weight"[24] : bf16[48, 16]
%0 = embedding(%token_ids, %model.embed_tokens.weight) : bf16[T, 16]
%1 = rms_norm(%0, %model.layers.0.input_layernorm.weight) : bf16[T, 16]
%21 = matmul(%1, %model.layers.0.self_attn.q_proj+k_proj+v_proj.weight) {transposed=true} : bf16[T, 32]
%29 = rope_append(%21, %positions) {num_heads=4, num_kv_heads=2, head_dim=4, rotary_dim=4} : bf16[T, 16]
%7 = attend(%29) {num_heads=4, num_kv_heads=2, head_dim=4, scale=0.5} : bf16[T, 16]
%9 = matmul(%7, %model.layers.0.self_attn.o_proj.weight, %0) {transposed=true, residual=true} : bf16[T, 16]
%10 = rms_norm(%9, %model.layers.0.post_attention_layernorm.weight) : bf16[T, 16]
%14 = matmul(%10, %model.layers.0.mlp.gate_proj+up_proj.weight) {transposed=true, activation=silu, gated=true} : bf16[T, 24]
%16 = matmul(%14, %model.layers.0.mlp.down_proj.weight, %9) {transposed=true, residual=true} : bf16[T, 16]
%17 = select_rows(%16, %rows) : bf16[R, 16]
%18 = rms_norm(%17, %model.norm.weight) : bf16[R, 16]
%19 = matmul(%18, %lm_head.weight) {transposed=true, float_output=true} : f32[R, 32]
return %19
)";

TEST(Pipeline, makes_eight_kernels_of_a_llama_layer) {
  EXPECT_EQ(optimized(small_llama(1))->text(), kLlama);
  EXPECT_THAT(
      ops_of_a_layer(small_llama(1)),
      ElementsAre(
          "matmul", "rms_norm", "matmul", "matmul", "rms_norm", "matmul", "rope_append", "attend"));
}

TEST(Pipeline, biases_and_norms_of_heads_cost_no_kernel) {
  models::DecoderSpec spec = small_llama(1);
  spec.qkv_bias = spec.o_bias = spec.mlp_bias = true;
  spec.qk_norm = models::QkNorm::kPerHead;
  EXPECT_EQ(ops_of_a_layer(spec), ops_of_a_layer(small_llama(1)));
}

TEST(Pipeline, norms_of_a_blocks_result_are_fused_with_the_sums_between_layers) {
  models::DecoderSpec spec = small_llama(1);  // as Gemma 2
  spec.names.norm_after_attention = "model.layers.{}.post_attention_layernorm.weight";
  spec.names.norm_before_mlp = "model.layers.{}.pre_feedforward_layernorm.weight";
  spec.names.norm_after_mlp = "model.layers.{}.post_feedforward_layernorm.weight";
  EXPECT_THAT(ops_of_a_layer(spec),
              ElementsAre("matmul",
                          "rms_norm",
                          "add_rms_norm",
                          "matmul",
                          "matmul",
                          "rms_norm",
                          "add_rms_norm",
                          "matmul",
                          "rope_append",
                          "attend"));
}

TEST(Pipeline, a_parallel_layer_norm_block_is_a_chain_of_residuals) {
  models::DecoderSpec spec = small_llama(1);  // as Cohere, or, without rotation, near GPT-2
  spec.norm = models::NormKind::kLayer;
  spec.parallel_mlp = true;
  spec.gated_mlp = false;
  spec.layers = models::uniform_layers(1, {});
  EXPECT_THAT(
      ops_of_a_layer(spec),
      ElementsAre("matmul", "matmul", "matmul", "layer_norm", "matmul", "rope_append", "attend"));
}

TEST(Pipeline, a_layer_is_five_kernels_on_a_gpu) {
  auto graph = models::decoder_graph(small_llama(2), DType::kBF16).value();
  ASSERT_TRUE(run_pipeline(*graph, {.target = Target::kCuda}).ok());
  std::vector<std::string> names;
  for (const ir::Node* node : graph->nodes()) names.emplace_back(node->op().name());
  EXPECT_THAT(names,
              ElementsAre("embedding",
                          "norm_matmul",
                          "rope_attend",
                          "matmul",
                          "norm_matmul",
                          "matmul",
                          "norm_matmul",
                          "rope_attend",
                          "matmul",
                          "norm_matmul",
                          "matmul",
                          "select_rows",
                          "norm_matmul"));
}

TEST(Pipeline, the_idea_is_one_op) {
  ir::Graph graph;
  ir::Value x = graph.input("x", {DType::kF32, {tensor::kTokens, 4}});
  ir::Value w = graph.weight("w", {DType::kF32, {4, 8}});
  ir::Value b = graph.weight("b", {DType::kF32, {8}});
  graph.output(ir::relu(ir::matmul(x, w) + b));
  ASSERT_TRUE(run_pipeline(graph).ok());
  EXPECT_EQ(graph.text(), R"(input %x : f32[T, 4]
weight %b : f32[8]
weight %w.transposed = transpose("w") : f32[8, 4]
%2 = matmul(%x, %w.transposed, %b) {transposed=true, bias=true, activation=relu} : f32[T, 8]
return %2
)");
}

TEST(Pipeline, reports_each_pass_and_the_text_after_those_asked_for) {
  auto graph = models::decoder_graph(small_llama(2), DType::kBF16).value();
  std::vector<std::string> seen;
  PipelineOptions options;
  options.disabled = {"fuse_residual"};
  options.record = {"merge_projections", "fuse_residual", "fuse_norm_matmul"};
  options.after = [&](const PassReport& pass, const ir::Graph&) { seen.emplace_back(pass.name); };
  auto report = run_pipeline(*graph, options);
  ASSERT_TRUE(report.ok()) << report.error().text();
  EXPECT_EQ(report->passes.size(), pipeline_passes().size());
  EXPECT_EQ(seen.size(), pipeline_passes().size() - 3);  // Two are for another target.
  EXPECT_TRUE(report->find("fuse_residual")->disabled);
  EXPECT_EQ(report->find("merge_projections")->rewrites, 4);
  for (auto name : options.record)  // Also after those that did not run.
    EXPECT_THAT(report->find(name)->text, HasSubstr("gate_proj+up_proj"));
  EXPECT_EQ(report->find("fuse_add_norm")->rewrites, 3);  // The last sum has no norm right after.
  EXPECT_EQ(report->find("fuse_add_norm")->text, "");
  EXPECT_EQ(report->find("inline"), nullptr);
  EXPECT_EQ(report->find("fuse_rope_attend")->for_other, Target::kCuda);
  EXPECT_THAT(report->summary(), HasSubstr("fuse_rope_attend       for cuda alone\n"));
  EXPECT_THAT(report->summary(), HasSubstr("fuse_residual          disabled\n"));
}

TEST(Pipeline, runs_the_passes_in_the_order_in_which_they_are_tested) {
  ASSERT_EQ(pipeline_passes().size(), std::size(passes::kPasses));
  for (size_t i = 0; i < std::size(passes::kPasses); ++i)
    EXPECT_EQ(pipeline_passes()[i].name, passes::kPasses[i].name);
}

TEST(Pipeline, refuses_names_that_are_no_pass) {
  ir::Graph graph;
  PipelineOptions options;
  options.disabled = {"fuse_norm"};
  auto report = run_pipeline(graph, options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().text(),
            "'fuse_norm' is not a pass\nhint: passes are fold_transpose, fold_bias_activation, "
            "merge_projections, fuse_rope_append, fuse_gated_mlp, fuse_residual, fuse_add_norm, "
            "fuse_rope_attend, fuse_norm_matmul, eliminate_dead_code");
}

TEST(Pipeline, computes_on_random_graphs_what_they_computed_before_and_is_done_after_one_run) {
  for (uint32_t seed = 5000; seed < 5200 && !testing::Test::HasFailure(); ++seed) {
    passes::RandomGraph test =
        seed % 2 ? passes::RandomDecoder(seed).build() : passes::WildGraph(seed).build();
    SCOPED_TRACE(test.graph->text());
    auto run = [&] {
      return ir::run_reference(*test.graph, test.inputs, test.checkpoint, test.num_tokens).value();
    };
    std::vector<Tensor> expected = run();
    std::optional<Target> target;
    if (seed % 4 < 2) target = Target::kCuda;
    ASSERT_TRUE(run_pipeline(*test.graph, {.target = target}).ok());
    EXPECT_LT(passes::relative_error(expected, run()), 1e-5) << test.graph->text();
  }
}

TEST(Pipeline, families_compute_the_same_after_it) {
  TKM_NEED_TEST_DATA();
  int families = 0;
  for (const auto& entry : std::filesystem::directory_iterator(models::test_data() / "goldens")) {
    if (!entry.is_directory()) continue;
    auto info = models::read_model(entry.path());
    if (!info.ok()) continue;  // not supported yet
    SCOPED_TRACE(entry.path());
    auto files = tensor::TensorFiles::open(entry.path() / "model.safetensors").value();
    ir::TensorMap weights = models::load_floats(files);
    ir::TensorMap inputs = {{"token_ids", Tensor::from_ints(std::vector<int32_t>{5, 1, 7, 7, 2})},
                            {"positions", Tensor::from_ints(std::vector<int32_t>{0, 1, 2, 3, 4})},
                            {"rows", Tensor::from_ints(std::vector<int32_t>{4, 2})}};
    auto graph = models::decoder_graph(info->spec, DType::kF32).value();
    auto expected = ir::run_reference(*graph, inputs, weights, 5).value();
    ASSERT_TRUE(run_pipeline(*graph, {.target = Target::kCuda}).ok());
    auto got = ir::run_reference(*graph, inputs, weights, 5).value();
    EXPECT_LT(passes::relative_error(expected, got), 1e-5);
    ++families;
  }
  EXPECT_GE(families, 13);
}

}  // namespace
}  // namespace tokamak::compiler
