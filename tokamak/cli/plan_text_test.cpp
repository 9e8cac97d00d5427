// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/plan_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/cli/plan_layers.h"

namespace tokamak::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Two layers of one product and attention each, then the head.
engine::Plan small_plan() {
  engine::Plan plan;
  auto value = [&](std::string name, engine::PlanValueKind kind, TensorType type) {
    plan.values.push_back({std::move(name), kind, std::move(type)});
    return static_cast<int32_t>(plan.values.size()) - 1;
  };
  TensorType hidden{DType::kBF16, {tensor::kTokens, 64}};
  int32_t x = value("x", engine::PlanValueKind::kInput, hidden);
  auto product = [&](std::string tensor, TensorType type) {
    int32_t w = value(tensor, engine::PlanValueKind::kWeight, type);
    plan.weights.push_back({.value = w, .parts = {{.tensor = tensor, .rows = 64}}});
    return w;
  };
  engine::PlanChoice ring{.max_tokens = 1,
                          .tactic = "matmul_cuda_ring",
                          .config = {{"stages", 3}},
                          .us = 10,
                          .runner_up = "matmul_cuda_tma {}",
                          .runner_up_us = 12,
                          .floor_us = 9};
  engine::PlanChoice tma{
      .max_tokens = 2048, .tactic = "matmul_cuda_tma", .us = 400, .floor_us = 300};
  for (int layer = 0; layer < 2; ++layer) {
    int32_t w =
        product(fmt::format("model.layers.{}.o_proj.weight", layer), {DType::kBF16, {64, 64}});
    int32_t y = value(fmt::format("y{}", layer), engine::PlanValueKind::kBuffer, hidden);
    Json attributes = {{"num_heads", 4}};
    if (layer) attributes["layer"] = layer;
    plan.steps.push_back({.op = "attend",
                          .attributes = attributes,
                          .inputs = {x},
                          .outputs = {y},
                          .choices = {{.max_tokens = 2048, .tactic = "attend_cuda_flash"}}});
    plan.steps.push_back(
        {.op = "matmul", .inputs = {y, w}, .outputs = {x}, .choices = {ring, tma}});
  }
  int32_t head = product("lm_head.weight", {DType::kBF16, {100, 64}});
  plan.logits =
      value("logits", engine::PlanValueKind::kBuffer, {DType::kF32, {tensor::kRows, 100}});
  plan.steps.push_back(
      {.op = "matmul", .inputs = {x, head}, .outputs = {plan.logits}, .choices = {ring}});
  return plan;
}

TEST(LayerKinds, like_layers_are_one_kind_and_the_head_stands_behind_them) {
  engine::Plan plan = small_plan();
  std::vector<LayerKind> kinds = layer_kinds(plan);
  ASSERT_EQ(kinds.size(), 2u);
  EXPECT_EQ(kinds[0].title, "layers 0, 1");
  EXPECT_EQ(kinds[0].steps.size(), 2u);
  EXPECT_EQ(kinds[1].title, "behind the layers");
}

TEST(LayerKinds, layers_with_other_choices_are_another_kind) {
  engine::Plan plan = small_plan();
  plan.steps[1].choices[0].config["stages"] = 4;
  std::vector<LayerKind> kinds = layer_kinds(plan);
  ASSERT_EQ(kinds.size(), 3u);
  EXPECT_EQ(kinds[0].title, "layer 0");
  EXPECT_EQ(kinds[1].title, "layer 1");
}

TEST(KernelsText, shows_time_share_of_the_floor_and_runner_up) {
  EXPECT_EQ(kernels_text(small_plan()),
            R"(2 x attend(bf16[T, 64]) num_heads=4
  up to 2048 rows: attend_cuda_flash
2 x matmul(bf16[T, 64], bf16[64, 64])
  up to    1 rows: matmul_cuda_ring {"stages":3}, 10.0 us (90 % of the floor)   (then matmul_cuda_tma {}, 12.0 us)
  up to 2048 rows: matmul_cuda_tma, 400.0 us (75 % of the floor)
1 x matmul(bf16[T, 64], bf16[100, 64])
  up to    1 rows: matmul_cuda_ring {"stages":3}, 10.0 us (90 % of the floor)   (then matmul_cuda_tma {}, 12.0 us)
)");
}

TEST(KernelsText, says_what_a_whole_layer_took_and_whether_that_decided) {
  engine::Plan plan = small_plan();
  engine::PlanChoice& choice = plan.steps[1].choices[0];
  choice.layer_us = 110;
  choice.runner_up_layer_us = 112.25;
  EXPECT_THAT(kernels_text(plan),
              HasSubstr("10.0 us (90 % of the floor)   (then matmul_cuda_tma {}, 12.0 us; in a "
                        "layer 110.0 against 112.2 us)\n"));
  choice.runner_up_us = 9.5;  // Faster alone.
  EXPECT_THAT(kernels_text(plan),
              HasSubstr("10.0 us (90 % of the floor)   (then matmul_cuda_tma {}, 9.5 us; the layer "
                        "decided: 110.0 against 112.2 us)\n"));
}

TEST(KernelsText, shortens_the_long_numbers_that_libraries_give_their_algorithms) {
  engine::Plan plan = small_plan();
  engine::PlanChoice& choice = plan.steps[1].choices[1];
  choice.config = {{"algorithm", std::string(128, 'a')}, {"library", 130000}};
  choice.runner_up = "matmul_cuda_cublaslt " + choice.config.dump();
  EXPECT_THAT(
      kernels_text(plan),
      HasSubstr("matmul_cuda_tma {\"algorithm\":\"aaaaaaaaaaaa...\",\"library\":130000}, 400.0 "
                "us (75 % of the floor)   (then matmul_cuda_cublaslt "
                "{\"algorithm\":\"aaaaaaaaaaaa...\",\"library\":130000}, 0.0 us)"));
}

constexpr const char* kLayersHtml =
    R"html(<h3>layers 0, 1</h3><table><tr><th>rows</th><th>timed</th><th>of the floor</th><th>kernels</th></tr>
<tr><td class=n>1</td><td class=n>10.0 us</td><td class=n>90 %</td><td><div class=row><span class="step attend" style="flex:0 0 auto" title="attend(bf16[T, 64]) num_heads=4
attend_cuda_flash">attend</span><span class="step matmul" style="flex:10.000 1 0" title="matmul(bf16[T, 64], bf16[64, 64])
matmul_cuda_ring {&quot;stages&quot;:3}, 10.0 us (90 % of the floor)
then matmul_cuda_tma {}, 12.0 us">matmul<br>10.0 us<br><b>90 %</b></span></div></td></tr>
<tr><td class=n>2048</td><td class=n>400.0 us</td><td class=n>75 %</td><td><div class=row><span class="step attend" style="flex:0 0 auto" title="attend(bf16[T, 64]) num_heads=4
attend_cuda_flash">attend</span><span class="step matmul" style="flex:400.000 1 0" title="matmul(bf16[T, 64], bf16[64, 64])
matmul_cuda_tma, 400.0 us (75 % of the floor)">matmul<br>400.0 us<br><b>75 %</b></span></div></td></tr>
</table>
<h3>behind the layers</h3><table><tr><th>rows</th><th>timed</th><th>of the floor</th><th>kernels</th></tr>
<tr><td class=n>1</td><td class=n>10.0 us</td><td class=n>90 %</td><td><div class=row><span class="step matmul" style="flex:10.000 1 0" title="matmul(bf16[T, 64], bf16[100, 64])
matmul_cuda_ring {&quot;stages&quot;:3}, 10.0 us (90 % of the floor)
then matmul_cuda_tma {}, 12.0 us">matmul<br>10.0 us<br><b>90 %</b></span></div></td></tr>
</table>
)html";

TEST(PlanHtml, draws_the_kernels_of_each_kind_of_layer_with_their_share_of_the_floor) {
  engine::Engine engine;
  engine.manifest.model_name = "small <model>";
  engine.plan = small_plan();
  std::string html = plan_html(engine, {});
  EXPECT_THAT(html, HasSubstr("small &lt;model&gt;"));
  EXPECT_THAT(html, HasSubstr("<meta name=\"viewport\" content=\"width=device-width, "));
  EXPECT_THAT(html, HasSubstr("@media(prefers-color-scheme:dark)"));
  EXPECT_THAT(html, Not(HasSubstr("overflow:hidden"))) << "which would cut labels";
  size_t begin = html.find("<h3>"), end = html.find("<h2>Tactics");
  ASSERT_NE(begin, std::string::npos);
  EXPECT_EQ(html.substr(begin, end - begin), kLayersHtml);
}

TEST(PlanText, the_byte_table_of_a_gpu_says_what_is_not_in_it) {
  engine::Engine engine;
  engine.plan = small_plan();
  runtime::SessionPlan planned;
  EXPECT_THAT(plan_text(engine, planned), Not(HasSubstr("beside it")));
  planned.limits.max_seq_pages = 128;
  EXPECT_THAT(
      plan_text(engine, planned),
      HasSubstr("  beside it: driver, kernels and their counters: measured at load; captured "
                "decode steps: measured at load\n"));
  planned.in_use_bytes = int64_t{512} << 20;
  EXPECT_THAT(plan_text(engine, planned), HasSubstr("counters: 512.00 MiB in use now; captured"));
}

TEST(PlanText, says_what_machine_code_the_engine_holds) {
  engine::Engine engine;
  engine.plan = small_plan();
  EXPECT_THAT(plan_text(engine, {}), Not(HasSubstr("machine code")));
  engine.code = {{"greedy", "1", std::string(1024, 'x')}, {"norm", "2", std::string(1024, 'x')}};
  EXPECT_THAT(plan_text(engine, {}),
              HasSubstr("machine code in the engine: 2 kernels, 2.00 KiB\n"));
  EXPECT_THAT(plan_html(engine, {}), HasSubstr("machine code in the engine: 2 kernels, 2.00 KiB"));
}

}  // namespace
}  // namespace tokamak::cli
