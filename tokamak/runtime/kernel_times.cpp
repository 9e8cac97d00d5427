// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/kernel_times.h"

#include <algorithm>
#include <map>

#include "tokamak/runtime/step_check.h"
#include "tokamak/runtime/step_kernels.h"

namespace tokamak::runtime {
namespace {

constexpr int kReplays = 5;

/// A decode step of `batch` sequences whose pages are dealt out in turn; with too few pages they
/// share them, which reads the same bytes but from nearer.
struct DecodeStep {
  std::vector<int32_t> token_ids, positions, rows;
  std::vector<std::vector<int32_t>> pages;
  std::vector<op::SequenceSpan> sequences;

  DecodeStep(const SessionInfo& info, int64_t batch, int64_t context) {
    int32_t next = 0;
    for (int32_t s = 0; s < static_cast<int32_t>(batch); ++s) {
      token_ids.push_back(s % static_cast<int32_t>(info.vocab_size));
      positions.push_back(static_cast<int32_t>(context));
      rows.push_back(s);
      pages.emplace_back();
      for (int64_t i = 0; i <= context / op::kPageTokens; ++i)
        pages.back().push_back(next++ % static_cast<int32_t>(info.num_pages));
    }
    for (int32_t s = 0; s < static_cast<int32_t>(batch); ++s)
      sequences.push_back(
          {.first_token = s,
           .num_tokens = 1,
           .context = static_cast<int32_t>(context),
           .pages = pages[static_cast<size_t>(s)],
           .is_long = info.long_sequence_after > 0 && context >= info.long_sequence_after});
  }
  Step step() const {
    return {
        .token_ids = token_ids, .positions = positions, .sequences = sequences, .logit_rows = rows};
  }
};

std::string kind_of(const engine::Plan& plan, const engine::PlanStep& step) {
  std::string text = step.op;
  for (int32_t input : step.inputs) {
    const engine::PlanValue& value = plan.values[static_cast<size_t>(input)];
    if (value.kind == engine::PlanValueKind::kWeight && value.type.rank() == 2)
      text += " " + value.type.text();
  }
  return text;
}

/// Weights of the step, and keys and values if it attends.
int64_t bytes_of(const engine::Plan& plan,
                 const engine::PlanStep& step,
                 int64_t batch,
                 int64_t context) {
  if (step.op == "attention" || step.op == "attend" || step.op == "rope_attend")
    return batch * (context + 1) * plan.kv.page_bytes() / op::kPageTokens;
  if (step.op == "embedding") return 0;
  int64_t bytes = 0;
  for (const engine::PlanWeight& weight : plan.weights) {
    if (std::find(step.inputs.begin(), step.inputs.end(), weight.value) != step.inputs.end())
      bytes += weight.bytes;
  }
  return bytes;
}

}  // namespace

Result<std::vector<KernelTime>> time_kernels(const engine::Plan& plan,
                                             device::Device& device,
                                             Player& player,
                                             StepInputs& inputs,
                                             const SessionInfo& info,
                                             int64_t batch,
                                             int64_t context) {
  DecodeStep decode(info, batch, context);
  Step step = decode.step();
  TKM_RETURN_IF_ERROR(check_step(step, info));
  StepShape shape = shape_of(step);
  inputs.set(&step, shape);
  player.play(inputs, shape, step.sequences);
  TKM_RETURN_IF_ERROR(device.synchronize());

  std::vector<KernelTime> out;
  std::vector<std::vector<size_t>> members;
  std::map<std::string, size_t> index;
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const engine::PlanStep& planned = plan.steps[s];
    const engine::PlanChoice& choice = choice_for(planned, batch);
    KernelTime kind{
        .op = kind_of(plan, planned),
        .tactic = choice.tactic + (choice.config.empty() ? "" : " " + choice.config.dump())};
    auto [it, added] = index.emplace(kind.op + " | " + kind.tactic, out.size());
    if (added) {
      out.push_back(std::move(kind));
      members.emplace_back();
    }
    out[it->second].count += 1;
    out[it->second].bytes += bytes_of(plan, planned, batch, context);
    members[it->second].push_back(s);
  }
  for (size_t k = 0; k < out.size(); ++k) {
    auto work = [&] {
      for (size_t s : members[k]) player.play_step(s, inputs, shape, step.sequences);
    };
    TKM_ASSIGN(std::unique_ptr<device::Graph> graph, device.capture(work));
    double best = 0;
    for (int replay = 0; replay < kReplays; ++replay) {
      TKM_ASSIGN(double us, device.time_us([&] { graph ? graph->launch() : work(); }));
      best = replay == 0 ? us : std::min(best, us);
    }
    out[k].us = best;
  }
  return out;
}

}  // namespace tokamak::runtime
