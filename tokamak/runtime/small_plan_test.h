// SPDX-License-Identifier: Apache-2.0
// A decoder of two layers as a plan, made without the compiler: for tests and fuzzing of what plays
// plans.
#pragma once

#include "tokamak/kernels/kernel.h"
#include "tokamak/op/attention.h"
#include "tokamak/op/gather.h"
#include "tokamak/op/matmul.h"
#include "tokamak/runtime/step_kernels.h"

namespace tokamak::runtime {

class SmallPlan {
 public:
  static constexpr int64_t kVocab = 96, kHidden = 32, kHeads = 4, kKvHeads = 2, kHeadDim = 16,
                           kLayers = 2;

  /// Errors are the test's: every value() below holds.
  static engine::Plan make(device::Device& device, DType dtype = DType::kF32) {
    return SmallPlan(device, dtype).build();
  }

 private:
  using Kind = engine::PlanValueKind;
  SmallPlan(device::Device& device, DType dtype) : device_(device), dtype_(dtype) {
    plan_.kv = {
        .num_layers = kLayers, .num_kv_heads = kKvHeads, .head_dim = kHeadDim, .dtype = dtype};
    plan_.vocab_size = kVocab;
    plan_.max_positions = 256;
  }

  engine::Plan build() {
    plan_.token_ids = value("token_ids", Kind::kInput, {DType::kI32, {tensor::kTokens}});
    plan_.positions = value("positions", Kind::kInput, {DType::kI32, {tensor::kTokens}});
    plan_.rows = value("rows", Kind::kInput, {DType::kI32, {tensor::kRows}});
    int32_t x = step(op::Embedding{}, {plan_.token_ids, weight("embed", {kVocab, kHidden})});
    for (int64_t layer = 0; layer < kLayers; ++layer) x = add_layer(x, layer);
    int32_t last = step(op::SelectRows{}, {x, plan_.rows});
    op::MatMul head;
    head.transposed = head.float_output = true;
    plan_.logits = step(head, {last, weight("head", {kVocab, kHidden})});
    for (engine::PlanWeight& w : plan_.weights) finish(w);
    return plan_;
  }

  int32_t add_layer(int32_t x, int64_t layer) {
    const int64_t width = kHeads * kHeadDim, qkv_width = width + 2 * kKvHeads * kHeadDim;
    op::RopeAppend append;
    append.layer = layer;
    append.num_heads = kHeads;
    append.num_kv_heads = kKvHeads;
    append.head_dim = append.rotary_dim = kHeadDim;
    op::Attend attend;
    attend.layer = layer;
    attend.num_heads = kHeads;
    attend.num_kv_heads = kKvHeads;
    attend.head_dim = kHeadDim;
    attend.scale = 0.25f;
    op::MatMul linear;
    linear.transposed = true;
    op::MatMul add = linear;
    add.residual = true;
    op::MatMul gated = linear;
    gated.gated = true;
    gated.activation = op::ActivationKind::kSilu;
    int32_t normed = step(op::RmsNorm{}, {x, weight("norm", {kHidden})});
    int32_t qkv = step(linear, {normed, weight("qkv", {qkv_width, kHidden})});
    int32_t attended = step(attend, {step(append, {qkv, plan_.positions})});
    x = step(add, {attended, weight("o", {kHidden, width}), x});
    int32_t middle = step(gated, {x, weight("gate_up", {4 * kHidden, kHidden})});
    return step(add, {middle, weight("down", {kHidden, 2 * kHidden}), x});
  }

  int32_t value(std::string name, Kind kind, TensorType type) {
    plan_.values.push_back({std::move(name), kind, std::move(type)});
    return static_cast<int32_t>(plan_.values.size()) - 1;
  }

  int32_t weight(const std::string& name, std::vector<tensor::Dim> shape) {
    const int64_t rows = shape[0].size;
    int32_t index = value(name, Kind::kWeight, {dtype_, std::move(shape)});
    std::string part = fmt::format("{}.{}.weight", name, index);
    plan_.weights.push_back({.value = index, .layout = "row_major", .parts = {{part, rows}}});
    return index;
  }

  int32_t step(op::Op op, std::vector<int32_t> inputs) {
    const auto s = static_cast<int32_t>(plan_.steps.size());
    engine::PlanStep step{
        .op = std::string(op.name()), .attributes = op.attributes(), .inputs = std::move(inputs)};
    std::vector<TensorType> types = plan_.types(step).inputs;
    int32_t result = value(fmt::format("v{}", s), Kind::kBuffer, op.infer(types).value()[0]);
    plan_.values.back().first_step = plan_.values.back().last_step = s;
    step.outputs = {result};
    for (int32_t i : step.inputs) {
      engine::PlanValue& read = plan_.values[static_cast<size_t>(i)];
      if (read.kind == Kind::kBuffer) read.last_step = s;
    }
    choose(step, s);
    plan_.steps.push_back(std::move(step));
    return result;
  }

  /// The first guess for some buckets, and the weight in the layout that it wants.
  void choose(engine::PlanStep& step, int32_t s) {
    kernels::KernelDesc desc = step_desc(plan_, step).value();
    for (int64_t tokens : {1, 16, 64}) {
      kernels::Candidate first = kernels::candidates(desc, tokens, device_).value()[0];
      step.choices.push_back({.max_tokens = tokens,
                              .tactic = std::string(first.tactic->name),
                              .version = first.tactic->version,
                              .config = first.config});
      if (!first.tactic->layout) continue;
      for (engine::PlanWeight& w : plan_.weights) {
        if (w.value != step.inputs[1]) continue;
        w.layout = first.tactic->layout->name;
        w.step = s;
      }
    }
  }

  void finish(engine::PlanWeight& w) {
    const TensorType& type = plan_.values[static_cast<size_t>(w.value)].type;
    w.bytes = tensor::num_elements(type.resolve(0, 0)) * tensor::dtype_bytes(type.dtype);
    if (w.step < 0) return;
    const engine::PlanStep& step = plan_.steps[static_cast<size_t>(w.step)];
    w.bytes =
        kernels::find_tactic(step.choices[0].tactic)->layout->bytes(step_desc(plan_, step).value());
  }

  device::Device& device_;
  DType dtype_;
  engine::Plan plan_;
};

}  // namespace tokamak::runtime
