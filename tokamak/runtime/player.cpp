// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/player.h"

namespace tokamak::runtime {

Player::Player(const engine::Plan& plan,
               const engine::MemoryPlan& memory,
               const engine::StepLimits& limits,
               std::vector<StepKernels> kernels,
               SessionMemory arenas)
    : plan_(plan), kernels_(std::move(kernels)), arenas_(std::move(arenas)) {
  bind_values(memory);
  bind_steps();
  bind_caches(limits.num_pages);
}

void Player::bind_values(const engine::MemoryPlan& memory) {
  views_.resize(plan_.values.size());
  for (size_t i = 0; i < plan_.values.size(); ++i) {
    const engine::PlanValue& value = plan_.values[i];
    views_[i] = {value.type.dtype, value.type.resolve(0, 0), nullptr};
    if (value.kind == engine::PlanValueKind::kBuffer)
      views_[i].data = static_cast<std::byte*>(arenas_.arena.data()) + memory.offsets[i];
  }
  for (size_t w = 0; w < plan_.weights.size(); ++w) {
    views_[static_cast<size_t>(plan_.weights[w].value)].data =
        static_cast<std::byte*>(arenas_.weights.data()) + memory.weight_offsets[w];
  }
}

void Player::bind_steps() {
  steps_.resize(plan_.steps.size());
  for (size_t s = 0; s < steps_.size(); ++s) {
    const engine::PlanStep& from = plan_.steps[s];
    BoundStep& step = steps_[s];
    for (int32_t i : from.inputs) step.inputs.push_back(views_[static_cast<size_t>(i)]);
    for (int32_t i : from.outputs) step.outputs.push_back(views_[static_cast<size_t>(i)]);
    note_changing(step, step.inputs, from.inputs);
    note_changing(step, step.outputs, from.outputs);
    step.counts_rows = engine::step_rows(plan_, from, 0, 1) == 1;
  }
}

void Player::note_changing(BoundStep& step,
                           std::vector<TensorView>& views,
                           const std::vector<int32_t>& values) {
  for (size_t i = 0; i < views.size(); ++i) {
    const engine::PlanValue& value = plan_.values[static_cast<size_t>(values[i])];
    if (!value.type.shape.empty() && !value.type.shape[0].is_constant())
      step.symbolic.emplace_back(&views[i], value.type.shape[0].symbol);
    if (value.kind == engine::PlanValueKind::kInput) step.moving.emplace_back(&views[i], values[i]);
  }
}

void Player::bind_caches(int64_t num_pages) {
  int64_t page_bytes = plan_.kv.page_bytes(), layer_bytes = page_bytes * num_pages;
  for (int64_t layer = 0; layer < plan_.kv.num_layers; ++layer) {
    caches_.push_back({.dtype = plan_.kv.dtype,
                       .num_kv_heads = static_cast<int32_t>(plan_.kv.num_kv_heads),
                       .head_dim = static_cast<int32_t>(plan_.kv.head_dim),
                       .page_bytes = page_bytes,
                       .data = static_cast<std::byte*>(arenas_.kv.data()) + layer * layer_bytes});
  }
}

void Player::play(const StepInputs& inputs,
                  const StepShape& shape,
                  std::span<const op::SequenceSpan> sequences) {
  for (size_t s = 0; s < steps_.size(); ++s) play_step(s, inputs, shape, sequences);
}

void Player::play_step(size_t s,
                       const StepInputs& inputs,
                       const StepShape& shape,
                       std::span<const op::SequenceSpan> sequences) {
  BoundStep& step = steps_[s];
  int64_t count = step.counts_rows ? shape.rows : shape.tokens;
  if (count == 0) return;  // Nobody asked for logits.
  for (auto [view, symbol] : step.symbolic)
    view->shape[0] = symbol == tensor::Symbol::kRows ? shape.rows : shape.tokens;
  for (auto [view, value] : step.moving) {
    view->data = value == plan_.token_ids   ? inputs.token_ids()
                 : value == plan_.positions ? inputs.positions()
                                            : inputs.rows();
  }
  op::BatchView batch{sequences, caches_};
  kernels_[s].at(count).run({.inputs = step.inputs,
                             .outputs = step.outputs,
                             .batch = &batch,
                             .device_batch = &inputs.batch(),
                             .workspace = arenas_.workspace.data()});
}

}  // namespace tokamak::runtime
