// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/verify_plan.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/runtime/engine_session.h"
#include "tokamak/runtime/small_plan_test.h"

namespace tokamak::runtime {
namespace {

using engine::Plan;
using engine::PlanStep;
using engine::PlanValue;
using engine::PlanWeight;
using testing::HasSubstr;

/// The n-th step of an op.
PlanStep& step_of(Plan& plan, std::string_view op, int n = 0) {
  for (PlanStep& step : plan.steps) {
    if (step.op == op && n-- == 0) return step;
  }
  throw std::out_of_range(std::string(op));
}
PlanValue& value_of(Plan& plan, int32_t index) {
  return plan.values[static_cast<size_t>(index)];
}
PlanValue& named(Plan& plan, std::string_view name) {
  for (PlanValue& value : plan.values) {
    if (value.name == name) return value;
  }
  throw std::out_of_range(std::string(name));
}
PlanWeight& weight_named(Plan& plan, std::string_view name) {
  for (PlanWeight& weight : plan.weights) {
    if (value_of(plan, weight.value).name == name) return weight;
  }
  throw std::out_of_range(std::string(name));
}

/// Written and last read by the step behind the last one.
int32_t add_buffer(Plan& plan, std::string name, TensorType type) {
  const auto step = static_cast<int32_t>(plan.steps.size());
  plan.values.push_back(
      {std::move(name), engine::PlanValueKind::kBuffer, std::move(type), step, step});
  return static_cast<int32_t>(plan.values.size()) - 1;
}

struct Contradiction {
  const char* name;
  std::function<void(Plan&)> edit;
  const char* error;
};

const Contradiction kContradictions[] = {
    // Vocabulary and logits.
    {"a_vocabulary_larger_than_the_logits",
     [](Plan& p) { p.vocab_size = 1 << 20; },
     "plan step 0: embedding: 'embed' is f32[96, 32] and is read from row 0 on, but there are "
     "1048576 token ids"},
    {"a_vocabulary_smaller_than_the_logits",
     [](Plan& p) { p.vocab_size = 95; },
     "of f32[R, 96], must be a buffer of f32[R, 95] for a vocabulary of 95"},
    {"logits_that_are_an_input",
     [](Plan& p) { p.logits = p.token_ids; },
     "plan: logits are the input 'token_ids' of i32[T]"},
    {"logits_of_all_tokens",
     [](Plan& p) {
       step_of(p, "matmul", 8).inputs[0] = step_of(p, "matmul", 7).outputs[0];
       value_of(p, p.logits).type.shape[0] = tensor::kTokens;
       value_of(p, step_of(p, "matmul", 7).outputs[0]).last_step = 16;
     },
     "of f32[T, 96], must be a buffer of f32[R, 96]"},
    {"a_table_that_is_read_past_its_end",
     [](Plan& p) { step_of(p, "embedding").attributes["offset"] = 1; },
     "is read from row 1 on, but there are 96 token ids"},
    {"a_table_that_is_read_before_its_beginning",
     [](Plan& p) { step_of(p, "embedding").attributes["offset"] = -1; },
     "is read from row -1 on"},
    // The cache.
    {"a_cache_of_other_heads",
     [](Plan& p) { p.kv.num_kv_heads = 0; },
     "plan step 3: rope_append: 2 key/value heads of 16, but the cache has 0 of 16"},
    {"a_cache_of_narrower_heads",
     [](Plan& p) { p.kv.head_dim = 8; },
     "2 key/value heads of 16, but the cache has 2 of 8"},
    {"a_cache_of_another_type",
     [](Plan& p) { p.kv.dtype = DType::kBF16; },
     "its values are f32, but the cache is bf16"},
    {"a_layer_that_the_cache_does_not_have",
     [](Plan& p) { p.kv.num_layers = 1; },
     "layer 1, but the cache has 1"},
    {"a_layer_that_is_written_twice",
     [](Plan& p) { step_of(p, "rope_append", 1).attributes["layer"] = 0; },
     "plan step 10: rope_append: layer 0 of the cache was written before"},
    {"a_layer_that_is_read_before_it_is_written",
     [](Plan& p) { step_of(p, "attend").attributes["layer"] = 1; },
     "plan step 4: attend: layer 1 of the cache was not written before"},
    {"a_layer_that_nobody_writes",
     [](Plan& p) { p.kv.num_layers = 3; },
     "plan kv: 3 layers, but no step writes layer 2"},
    {"a_cache_that_no_memory_holds",
     [](Plan& p) { p.kv.num_layers = p.kv.num_kv_heads = p.kv.head_dim = 1 << 16; },
     "plan kv: a page of 65536 layers of 65536 heads of 65536 takes more than"},
    // Steps.
    {"an_op_that_does_not_exist",
     [](Plan& p) { p.steps[1].op = "norm"; },
     "plan step 1: 'norm' is not an op"},
    {"an_attribute_that_does_not_exist",
     [](Plan& p) { p.steps[1].attributes["epsilon"] = 1; },
     "plan step 1: rms_norm: unknown attribute 'epsilon'"},
    {"an_attribute_of_another_type",
     [](Plan& p) { step_of(p, "attend").attributes["layer"] = "one"; },
     "'layer' must be an integer"},
    {"too_few_inputs",
     [](Plan& p) { p.steps[1].inputs.pop_back(); },
     "plan step 1: rms_norm: 1 inputs given, takes 2"},
    {"inputs_that_the_op_refuses",
     [](Plan& p) { std::swap(p.steps[2].inputs[0], p.steps[2].inputs[1]); },
     "plan step 2: matmul: "},
    {"a_result_of_another_type",
     [](Plan& p) { value_of(p, p.steps[2].outputs[0]).type.shape[1] = 64; },
     "plan step 2: matmul: it makes f32[T, 128], but the plan has f32[T, 64] for that"},
    {"a_result_that_is_missing",
     [](Plan& p) { p.steps[2].outputs.clear(); },
     "plan step 2: matmul: it makes f32[T, 128], but the plan has  for that"},
    {"a_buffer_that_is_read_before_it_is_written",
     [](Plan& p) { std::swap(p.steps[1], p.steps[2]); },
     "plan step 1: matmul: it reads 'v1', which no step before it writes"},
    {"a_buffer_that_two_steps_write",
     [](Plan& p) { p.steps[5].outputs[0] = p.steps[0].outputs[0]; },
     "plan step 5: matmul: it writes 'v0', which step 0 writes"},
    {"a_buffer_that_nobody_writes",
     [](Plan& p) {
       p.values.push_back({"spare", engine::PlanValueKind::kBuffer, {}, 0, 0});
     },
     "plan: no step writes the buffer 'spare'"},
    {"a_weight_that_is_written",
     [](Plan& p) { value_of(p, p.steps[0].outputs[0]).kind = engine::PlanValueKind::kWeight; },
     "plan step 0: embedding: it writes the weight 'v0', must be a buffer"},
    {"an_input_without_a_role",
     [](Plan& p) { value_of(p, p.steps[0].outputs[0]).kind = engine::PlanValueKind::kInput; },
     "plan: the input 'v0' is neither token_ids, positions nor rows"},
    {"rows_in_the_place_of_positions",
     [](Plan& p) { std::swap(p.rows, p.positions); },
     "plan: positions are the input 'rows' of i32[R], must be an input of i32[T]"},
    {"token_ids_in_the_place_of_positions",
     [](Plan& p) { step_of(p, "rope_append").inputs[1] = p.token_ids; },
     "rope_append: its input 1 is 'token_ids', must be the positions of the step"},
    {"one_input_for_two_roles",
     [](Plan& p) { p.positions = p.token_ids; },
     "plan: token_ids and positions are the same input"},
    // Lifetimes.
    {"a_buffer_that_is_given_away_before_its_last_reader",
     [](Plan& p) { named(p, "v0").last_step = 4; },
     "plan: the buffer 'v0' is kept for steps 0 to 4, but written by 0 and read until 5"},
    {"a_buffer_that_is_kept_from_later_than_its_writer",
     [](Plan& p) { named(p, "v0").first_step = 1; },
     "plan: the buffer 'v0' is kept for steps 1 to 5, but written by 0 and read until 5"},
    // Types.
    {"a_symbol_in_the_second_dimension",
     [](Plan& p) { named(p, "v1").type.shape[1] = tensor::kTokens; },
     "plan value 'v1' is f32[T, T]: only its first dimension may be a symbol"},
    {"a_dimension_of_zero",
     [](Plan& p) { named(p, "v1").type.shape[1] = 0; },
     "plan value 'v1' is f32[T, 0]: dimensions must be positive"},
    {"a_size_that_overflows",
     [](Plan& p) {
       named(p, "v1").type.shape = {tensor::kTokens, int64_t{1} << 40, int64_t{1} << 40};
     },
     "dimensions must be positive and a row of at most"},
    // Choices.
    {"choices_that_do_not_ascend",
     [](Plan& p) { p.steps[1].choices[1].max_tokens = 1; },
     "plan step 1: rms_norm: choices for 1 tokens and then for 1, must ascend"},
    {"a_tactic_that_does_not_exist",
     [](Plan& p) { p.steps[1].choices[0].tactic = "fast"; },
     "plan step 1: the engine uses tactic fast version 1, this program has no such tactic"},
    {"a_tactic_of_another_version",
     [](Plan& p) { p.steps[1].choices[0].version = 99; },
     "version 99, this program has version 1"},
    {"a_tactic_of_another_op",
     [](Plan& p) { p.steps[1].choices[0].tactic = "slice_cpu_rows"; },
     "plan step 1: rms_norm(f32[T, 32], f32[32]): slice_cpu_rows does not run it for 1 tokens"},
    {"a_tactic_of_another_target",
     [](Plan& p) { p.steps[1].choices[0].tactic = "reference"; },
     "plan step 1: rms_norm: reference runs on reference, this is cpu"},
    {"a_product_that_takes_a_buffer_for_a_packed_weight",
     [](Plan& p) {
       int32_t x = step_of(p, "matmul", 7).outputs[0], table = step_of(p, "embedding").inputs[1];
       int32_t scaled = add_buffer(p, "scaled", value_of(p, table).type);
       int32_t y = add_buffer(p, "y", {DType::kF32, {tensor::kTokens, 96}});
       value_of(p, scaled).last_step = value_of(p, x).last_step = 18;
       p.steps.push_back({"scale", {{"factor", 2}}, {table}, {scaled}, p.steps[1].choices});
       for (auto& choice : p.steps[17].choices) choice.tactic = "scale_cpu_simd";
       PlanStep product = step_of(p, "matmul", 8);
       product.attributes.erase("float_output");
       product.inputs = {x, scaled};
       product.outputs = {y};
       value_of(p, y).first_step = value_of(p, y).last_step = 18;
       p.steps.push_back(product);
     },
     "plan step 18: matmul(f32[T, 32], f32[96, 32]): matmul_cpu_stream does not run it for 1 "
     "tokens"},
    // Weights.
    {"a_weight_that_is_made_of_nothing",
     [](Plan& p) { p.weights.pop_back(); },
     "plan: nothing says what the weight 'head' is made of"},
    {"a_weight_that_stands_there_twice",
     [](Plan& p) { p.weights.push_back(p.weights[0]); },
     "plan weight 'embed' stands there twice"},
    {"a_weight_that_is_a_buffer",
     [](Plan& p) { p.weights[0].value = p.logits; },
     "is the buffer f32[R, 96], must be a weight of one or two constant dimensions"},
    {"parts_that_do_not_add_up",
     [](Plan& p) { p.weights[0].parts[0].rows = 95; },
     "plan weight 'embed' is f32[96, 32], but its parts have 95 rows"},
    {"parts_that_overflow",
     [](Plan& p) {
       p.weights[0].parts.assign(9, {"t", INT64_MAX / 8});
     },
     "plan weight 'embed' is f32[96, 32], but its parts have 9223372036854775807 rows"},
    {"a_vector_that_is_transposed",
     [](Plan& p) { weight_named(p, "norm").parts[0].transposed = true; },
     "plan weight 'norm' is f32[32], but its part"},
    {"a_layout_that_nobody_reads",
     [](Plan& p) { weight_named(p, "qkv").layout = "row_major"; },
     "plan weight 'qkv' is row_major and packed for step 2 (matmul), which does not read it"},
    {"a_layout_that_does_not_exist",
     [](Plan& p) { weight_named(p, "qkv").layout = "columns"; },
     "plan step 2: matmul: matmul_cpu_stream reads 'qkv' as cpu_panel32, but it is packed as "
     "columns"},
    {"a_weight_that_nobody_packs",
     [](Plan& p) { weight_named(p, "qkv").step = -1; },
     "plan weight 'qkv' is 16384 bytes cpu_panel32, but no step packs it: must be 16384 "
     "row_major"},
    {"a_weight_that_is_packed_for_a_step_that_does_not_read_it",
     [](Plan& p) { weight_named(p, "qkv").step = 1; },
     "packed for step 1 (rms_norm), which does not read it packed"},
    {"a_packed_weight_of_fewer_bytes",
     [](Plan& p) { weight_named(p, "qkv").bytes -= 64; },
     "it reads 'qkv' as 16384 bytes of a plain product, but step 2 packs it as 16320 bytes of a "
     "plain product"},
    {"a_row_major_weight_of_fewer_bytes",
     [](Plan& p) { weight_named(p, "norm").bytes = 64; },
     "plan weight 'norm' is 64 bytes row_major"},
    {"a_packed_weight_that_is_read_in_rows",
     [](Plan& p) { step_of(p, "embedding").inputs[1] = step_of(p, "matmul", 8).inputs[1]; },
     "plan step 0: embedding: embedding_cpu_rows reads 'head' as row_major, but it is packed as "
     "cpu_panel32"},
    {"a_weight_packed_for_a_gated_product_that_another_reads",
     [](Plan& p) {
       // Of the same shape, so that the bytes are as many.
       PlanWeight& qkv = weight_named(p, "qkv");
       qkv.layout = "row_major";
       qkv.step = -1;
       p.steps[2].inputs[1] = weight_named(p, "gate_up").value;
     },
     "plan step 2: matmul: it reads 'gate_up' as 16384 bytes of a plain product, but step 6 packs "
     "it as 16384 bytes of a gated product"},
};

class VerifyPlan : public testing::TestWithParam<Contradiction> {};

TEST_P(VerifyPlan, refuses) {
  auto device = device::open_device(Target::kCpu, 1).value();
  Plan plan = SmallPlan::make(*device);
  GetParam().edit(plan);
  auto verified = verify_plan(plan, *device);
  ASSERT_FALSE(verified.ok());
  EXPECT_THAT(verified.error().message, HasSubstr(GetParam().error));
  EXPECT_THAT(verified.error().hint, HasSubstr("build the engine again"));
  EXPECT_THAT(verified.error().code, testing::AnyOf(ErrorCode::kCorrupt, ErrorCode::kUnsupported));
  // Whoever opens or plans asks.
  engine::Engine engine{.manifest = {.dummy_weights = true}, .plan = plan};
  EXPECT_EQ(open_session(engine, device, {}).error().text(), verified.error().text());
  EXPECT_EQ(plan_session(engine, *device, {}).error().text(), verified.error().text());
  EXPECT_EQ(session_code(engine, *device).error().text(), verified.error().text());
}

INSTANTIATE_TEST_SUITE_P(Contradictions,
                         VerifyPlan,
                         testing::ValuesIn(kContradictions),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(VerifyPlanOfBothTargets, what_is_right_is_played) {
  for (Target target : {Target::kReference, Target::kCpu}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      auto device = device::open_device(target, 1).value();
      engine::Engine engine{.manifest = {.dummy_weights = true},
                            .plan = SmallPlan::make(*device, dtype)};
      auto verified = verify_plan(engine.plan, *device);
      ASSERT_TRUE(verified.ok()) << verified.error().text();
      auto again = Plan::from_json(engine.plan.to_json());
      ASSERT_TRUE(again.ok()) << again.error().text();
      EXPECT_TRUE(verify_plan(*again, *device).ok());
      auto session = open_session(
          engine, device, {.max_step_tokens = 8, .max_sequences = 2, .kv_tokens = 128});
      ASSERT_TRUE(session.ok()) << session.error().text();
      const std::vector<int32_t> ids = {1, 2, 3}, positions = {0, 1, 2}, pages = {0}, rows = {2};
      std::vector<op::SequenceSpan> sequences = {{.num_tokens = 3, .pages = pages}};
      auto output = (*session)->step({.token_ids = ids,
                                      .positions = positions,
                                      .sequences = sequences,
                                      .logit_rows = rows,
                                      .wants_logits = true});
      ASSERT_TRUE(output.ok()) << output.error().text();
      EXPECT_EQ(output->logits.shape, (Shape{1, SmallPlan::kVocab}));
    }
  }
}

}  // namespace
}  // namespace tokamak::runtime
