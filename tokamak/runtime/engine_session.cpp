// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/engine_session.h"

#include <algorithm>
#include <cstring>

#include "tokamak/runtime/step_kernels.h"
#include "tokamak/runtime/weights.h"

namespace tokamak::runtime {
namespace {

using engine::Plan;

int64_t pages_for(int64_t tokens) {
  return (tokens + op::kPageTokens - 1) / op::kPageTokens;
}

Result<void> in_range(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return base::invalid(fmt::format("{} is {}, must be between {} and {}", name, value, low, high));
}

Result<std::vector<StepKernels>> make_kernels(const Plan& plan, device::Device& device) {
  std::vector<StepKernels> out;
  for (const engine::PlanStep& step : plan.steps) {
    TKM_ASSIGN(StepKernels kernels, StepKernels::make(plan, step, device));
    out.push_back(std::move(kernels));
  }
  return out;
}

Result<SessionPlan> plan_with_kernels(const engine::Engine& engine,
                                      device::Device& device,
                                      const SessionOptions& options,
                                      const std::vector<StepKernels>& kernels) {
  const Plan& plan = engine.plan;
  SessionPlan out;
  out.max_seq_len = options.max_seq_len ? options.max_seq_len : plan.max_positions;
  TKM_RETURN_IF_ERROR(in_range("max_seq_len", out.max_seq_len, 1, plan.max_positions));
  TKM_RETURN_IF_ERROR(in_range("max_step_tokens", options.max_step_tokens, 1, 1 << 20));
  TKM_RETURN_IF_ERROR(in_range("max_sequences", options.max_sequences, 1, 1 << 16));
  TKM_RETURN_IF_ERROR(in_range("max_step_rows", options.max_step_rows, 0, options.max_step_tokens));
  TKM_RETURN_IF_ERROR(in_range("kv_tokens", options.kv_tokens, 0, int64_t{1} << 40));
  if (!(options.memory_share > 0 && options.memory_share <= 1))
    return base::invalid(
        fmt::format("memory_share is {}, must be in (0, 1]", options.memory_share));
  out.limits.max_tokens = options.max_step_tokens;
  out.limits.max_sequences = std::min(options.max_sequences, options.max_step_tokens);
  out.limits.max_rows = options.max_step_rows ? options.max_step_rows : out.limits.max_sequences;
  int64_t workspace = 0;
  for (const StepKernels& step : kernels)
    workspace = std::max(
        workspace,
        step.workspace_bytes(out.limits.max_tokens, out.limits.max_rows, out.limits.max_sequences));

  int64_t wanted_pages = options.kv_tokens ? pages_for(options.kv_tokens)
                                           : pages_for(out.max_seq_len) * options.max_sequences;
  if (plan.kv.num_layers == 0) wanted_pages = pages_for(out.max_seq_len) * options.max_sequences;
  engine::MemoryPlan without_kv = plan_memory(plan, out.limits, workspace);
  int64_t page_bytes = std::max<int64_t>(1, plan.kv.page_bytes() * plan.kv.num_layers);
  int64_t budget =
      options.kv_tokens
          ? device.free_bytes()
          : static_cast<int64_t>(static_cast<double>(device.free_bytes()) * options.memory_share);
  int64_t fitting_pages = (budget - without_kv.total_bytes()) / page_bytes;
  out.limits.num_pages = options.kv_tokens ? wanted_pages : std::min(wanted_pages, fitting_pages);
  out.memory = plan_memory(plan, out.limits, workspace);
  if (out.limits.num_pages > fitting_pages || out.limits.num_pages < 1) {
    out.limits.num_pages = std::max<int64_t>(out.limits.num_pages, 1);
    out.memory = plan_memory(plan, out.limits, workspace);
    return base::out_of_memory(
        fmt::format("the engine does not fit: {} may be used, it needs\n{}",
                    engine::bytes_text(budget),
                    engine::byte_table_text(out.memory)),
        "lower --kv-tokens, --max-step-tokens or --max-sequences, or choose a narrower dtype");
  }
  return out;
}

class EngineSession : public Session {
 public:
  EngineSession(const engine::Engine& engine,
                std::shared_ptr<device::Device> device,
                SessionPlan planned,
                std::vector<StepKernels> kernels)
      : plan_(engine.plan),
        device_(std::move(device)),
        planned_(std::move(planned)),
        kernels_(std::move(kernels)) {
    info_ = {.vocab_size = plan_.vocab_size,
             .max_seq_len = planned_.max_seq_len,
             .max_step_tokens = planned_.limits.max_tokens,
             .max_step_rows = planned_.limits.max_rows,
             .max_sequences = planned_.limits.max_sequences,
             .num_pages = planned_.limits.num_pages};
  }

  Result<void> load(const engine::Engine& engine, const base::Progress& progress) {
    const engine::MemoryPlan& memory = planned_.memory;
    TKM_ASSIGN(weights_, device_->allocate(memory.weight_bytes));
    TKM_ASSIGN(arena_, device_->allocate(memory.arena_bytes));
    TKM_ASSIGN(workspace_, device_->allocate(memory.workspace_bytes));
    TKM_ASSIGN(kv_, device_->allocate(memory.kv_bytes));
    std::unique_ptr<WeightSource> source;
    if (engine.manifest.dummy_weights) {
      source = dummy_weights();
    } else {
      TKM_ASSIGN(tensor::TensorFiles files, engine::open_weights(engine));
      source = checkpoint_weights(std::move(files));
    }
    TKM_RETURN_IF_ERROR(load_weights(plan_, memory, *source, *device_, weights_.data(), progress));
    bind_values();
    bind_caches();
    return {};
  }

  const SessionInfo& info() const override { return info_; }

  Result<StepOutput> step(const Step& step) override {
    TKM_RETURN_IF_ERROR(check(step));
    int64_t tokens = static_cast<int64_t>(step.token_ids.size()),
            rows = static_cast<int64_t>(step.logit_rows.size());
    copy_input(plan_.token_ids, step.token_ids);
    copy_input(plan_.positions, step.positions);
    copy_input(plan_.rows, step.logit_rows);
    play({step.sequences, caches_}, tokens, rows);
    StepOutput out;
    const TensorView& logits = views_[static_cast<size_t>(plan_.logits)];
    out.logits = {DType::kF32, {rows, plan_.vocab_size}, logits.data};
    for (const SampleRow& row : step.samples) {
      auto all = static_cast<const float*>(logits.data);
      out.samples.push_back(
          sample({all + row.row * plan_.vocab_size, static_cast<size_t>(plan_.vocab_size)},
                 row.context,
                 scratch_));
    }
    return out;
  }

 private:
  struct BoundStep {
    std::vector<TensorView> inputs, outputs;
    std::vector<std::pair<TensorView*, tensor::Symbol>>
        symbolic;  ///< Views whose first dimension changes with the step.
    bool counts_rows = false;
  };

  void bind_values() {
    views_.resize(plan_.values.size());
    for (size_t i = 0; i < plan_.values.size(); ++i) {
      const engine::PlanValue& value = plan_.values[i];
      views_[i] = {value.type.dtype, value.type.resolve(0, 0), nullptr};
      if (value.kind != engine::PlanValueKind::kWeight)
        views_[i].data = static_cast<std::byte*>(arena_.data()) + planned_.memory.offsets[i];
    }
    for (size_t w = 0; w < plan_.weights.size(); ++w) {
      views_[static_cast<size_t>(plan_.weights[w].value)].data =
          static_cast<std::byte*>(weights_.data()) + planned_.memory.weight_offsets[w];
    }
    steps_.resize(plan_.steps.size());
    for (size_t s = 0; s < steps_.size(); ++s) {
      for (int32_t i : plan_.steps[s].inputs)
        steps_[s].inputs.push_back(views_[static_cast<size_t>(i)]);
      for (int32_t i : plan_.steps[s].outputs)
        steps_[s].outputs.push_back(views_[static_cast<size_t>(i)]);
      note_symbols(steps_[s], steps_[s].inputs, plan_.steps[s].inputs);
      note_symbols(steps_[s], steps_[s].outputs, plan_.steps[s].outputs);
      steps_[s].counts_rows = engine::step_rows(plan_, plan_.steps[s], 0, 1) == 1;
    }
  }

  void note_symbols(BoundStep& step,
                    std::vector<TensorView>& views,
                    const std::vector<int32_t>& values) {
    for (size_t i = 0; i < views.size(); ++i) {
      const TensorType& type = plan_.values[static_cast<size_t>(values[i])].type;
      if (!type.shape.empty() && !type.shape[0].is_constant())
        step.symbolic.emplace_back(&views[i], type.shape[0].symbol);
    }
  }

  void bind_caches() {
    int64_t page_bytes = plan_.kv.page_bytes(),
            layer_bytes = page_bytes * planned_.limits.num_pages;
    for (int64_t layer = 0; layer < plan_.kv.num_layers; ++layer) {
      caches_.push_back({.dtype = plan_.kv.dtype,
                         .num_kv_heads = static_cast<int32_t>(plan_.kv.num_kv_heads),
                         .head_dim = static_cast<int32_t>(plan_.kv.head_dim),
                         .page_bytes = page_bytes,
                         .data = static_cast<std::byte*>(kv_.data()) + layer * layer_bytes});
    }
  }

  void copy_input(int32_t value, std::span<const int32_t> from) {
    std::memcpy(views_[static_cast<size_t>(value)].data, from.data(), from.size_bytes());
  }

  void play(const op::BatchView& batch, int64_t tokens, int64_t rows) {
    for (size_t s = 0; s < steps_.size(); ++s) {
      BoundStep& step = steps_[s];
      int64_t count = step.counts_rows ? rows : tokens;
      if (count == 0) continue;  // Nobody asked for logits.
      for (auto [view, symbol] : step.symbolic)
        view->shape[0] = symbol == tensor::Symbol::kRows ? rows : tokens;
      kernels_[s].at(count).run({.inputs = step.inputs,
                                 .outputs = step.outputs,
                                 .batch = &batch,
                                 .workspace = workspace_.data()});
    }
  }

  Result<void> check(const Step& step) const {
    int64_t tokens = static_cast<int64_t>(step.token_ids.size());
    TKM_RETURN_IF_ERROR(in_range("tokens of a step", tokens, 1, info_.max_step_tokens));
    TKM_RETURN_IF_ERROR(in_range("rows of logits of a step",
                                 static_cast<int64_t>(step.logit_rows.size()),
                                 0,
                                 info_.max_step_rows));
    TKM_RETURN_IF_ERROR(in_range("sequences of a step",
                                 static_cast<int64_t>(step.sequences.size()),
                                 1,
                                 info_.max_sequences));
    TKM_RETURN_IF_ERROR(in_range(
        "positions of a step", static_cast<int64_t>(step.positions.size()), tokens, tokens));
    for (int32_t id : step.token_ids)
      TKM_RETURN_IF_ERROR(in_range("token id", id, 0, info_.vocab_size - 1));
    for (int32_t position : step.positions)
      TKM_RETURN_IF_ERROR(in_range("position", position, 0, info_.max_seq_len - 1));
    for (int32_t row : step.logit_rows)
      TKM_RETURN_IF_ERROR(in_range("logit row", row, 0, tokens - 1));
    for (const SampleRow& row : step.samples)
      TKM_RETURN_IF_ERROR(
          in_range("sample row", row.row, 0, static_cast<int64_t>(step.logit_rows.size()) - 1));
    int64_t next = 0;
    for (const op::SequenceSpan& sequence : step.sequences) {
      int64_t end = int64_t{sequence.context} + sequence.num_tokens;
      TKM_RETURN_IF_ERROR(in_range("first token of a sequence", sequence.first_token, next, next));
      TKM_RETURN_IF_ERROR(in_range("tokens of a sequence", sequence.num_tokens, 1, tokens - next));
      TKM_RETURN_IF_ERROR(in_range(
          "context of a sequence", sequence.context, 0, info_.max_seq_len - sequence.num_tokens));
      TKM_RETURN_IF_ERROR(in_range("pages of a sequence",
                                   static_cast<int64_t>(sequence.pages.size()),
                                   pages_for(end),
                                   INT64_MAX));
      for (int64_t i = 0; i < pages_for(end); ++i)
        TKM_RETURN_IF_ERROR(
            in_range("page", sequence.pages[static_cast<size_t>(i)], 0, info_.num_pages - 1));
      next += sequence.num_tokens;
    }
    return in_range("tokens of all sequences", next, tokens, tokens);
  }

  Plan plan_;
  std::shared_ptr<device::Device> device_;
  SessionPlan planned_;
  std::vector<StepKernels> kernels_;
  SessionInfo info_;
  device::Memory weights_, arena_, workspace_, kv_;
  std::vector<TensorView> views_;
  std::vector<BoundStep> steps_;
  std::vector<op::KvCache> caches_;
  std::vector<float> scratch_;
};

}  // namespace

Result<SessionPlan> plan_session(const engine::Engine& engine,
                                 device::Device& device,
                                 const SessionOptions& options) {
  TKM_ASSIGN(std::vector<StepKernels> kernels, make_kernels(engine.plan, device));
  return plan_with_kernels(engine, device, options, kernels);
}

Result<std::unique_ptr<Session>> open_session(const engine::Engine& engine,
                                              std::shared_ptr<device::Device> device,
                                              const SessionOptions& options,
                                              const base::Progress& progress) {
  TKM_ASSIGN(std::vector<StepKernels> kernels, make_kernels(engine.plan, *device));
  TKM_ASSIGN(SessionPlan planned, plan_with_kernels(engine, *device, options, kernels));
  auto session = std::make_unique<EngineSession>(
      engine, std::move(device), std::move(planned), std::move(kernels));
  TKM_RETURN_IF_ERROR(session->load(engine, progress));
  return std::unique_ptr<Session>(std::move(session));
}

}  // namespace tokamak::runtime
