// SPDX-License-Identifier: Apache-2.0
// What a session allocates, before it does.
#include "tokamak/runtime/session_plan.h"

#include <algorithm>

#include "tokamak/op/attention.h"
#include "tokamak/runtime/chooser.h"
#include "tokamak/runtime/sampling_block.h"
#include "tokamak/runtime/verify_plan.h"

namespace tokamak::runtime {

using engine::Plan;

namespace {

int64_t pages_for(int64_t tokens) {
  return (tokens + op::kPageTokens - 1) / op::kPageTokens;
}

/// Rows that keep the device's arithmetic busy; more only delay who decodes meanwhile.
int64_t step_tokens(const device::Device& device, const SessionOptions& options) {
  if (options.max_step_tokens) return options.max_step_tokens;
  return device.host_accessible() ? 512 : 2048;
}

Result<void> check_options(const Plan& plan, const SessionOptions& options, int64_t step_tokens) {
  TKM_RETURN_IF_ERROR(in_range("max_seq_len", options.max_seq_len, 0, plan.max_positions));
  TKM_RETURN_IF_ERROR(in_range("max_step_tokens", options.max_step_tokens, 0, 1 << 20));
  TKM_RETURN_IF_ERROR(in_range("max_sequences", options.max_sequences, 1, 1 << 16));
  TKM_RETURN_IF_ERROR(in_range("max_step_rows", options.max_step_rows, 0, step_tokens));
  TKM_RETURN_IF_ERROR(in_range("kv_tokens", options.kv_tokens, 0, int64_t{1} << 40));
  TKM_RETURN_IF_ERROR(in_range("memory_bytes", options.memory_bytes, 0, int64_t{1} << 50));
  if (!(options.memory_share > 0 && options.memory_share <= 1))
    return base::invalid(
        fmt::format("memory_share is {}, must be in (0, 1]", options.memory_share));
  return {};
}

/// Bytes that this session may take of the device.
int64_t memory_budget(const device::Device& device, const SessionOptions& options) {
  int64_t free = device.free_bytes();
  if (options.memory_bytes) return std::min(options.memory_bytes, free);
  if (options.kv_tokens) return free;
  return static_cast<int64_t>(static_cast<double>(free) * options.memory_share);
}

/// SessionInfo::long_sequence_after, which layers must agree on.
Result<int64_t> long_sequence_after(const Plan& plan) {
  int64_t out = 0;
  for (const engine::PlanStep& step : plan.steps) {
    TKM_ASSIGN(op::Op op, op::Op::parse(step.op, step.attributes));
    const int64_t after = op::long_sequence_after(op);
    if (out && after && out != after)
      return base::unsupported(fmt::format(
          "plan: some layers rotate otherwise from {} tokens on, others from {}", out, after));
    out = std::max(out, after);
  }
  return out;
}

}  // namespace

Result<void> in_range(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return base::invalid(fmt::format("{} is {}, must be between {} and {}", name, value, low, high));
}

Result<SessionPlan> plan_with_kernels(const Plan& plan,
                                      device::Device& device,
                                      const SessionOptions& options,
                                      std::span<const StepKernels> kernels) {
  const int64_t tokens = step_tokens(device, options);
  TKM_RETURN_IF_ERROR(check_options(plan, options, tokens));
  SessionPlan out;
  if (!device.host_accessible()) out.in_use_bytes = device.total_bytes() - device.free_bytes();
  out.max_seq_len = options.max_seq_len ? options.max_seq_len : plan.max_positions;
  TKM_ASSIGN(out.long_sequence_after, long_sequence_after(plan));
  out.limits.max_tokens = tokens;
  out.limits.max_sequences = std::min(options.max_sequences, tokens);
  out.limits.max_rows = options.max_step_rows ? options.max_step_rows : out.limits.max_sequences;
  if (!device.host_accessible()) out.limits.max_seq_pages = pages_for(out.max_seq_len);
  int64_t workspace = 0;
  for (const StepKernels& step : kernels)
    workspace = std::max(
        workspace,
        step.workspace_bytes(out.limits.max_tokens, out.limits.max_rows, out.limits.max_sequences));

  int64_t wanted_pages = options.kv_tokens ? pages_for(options.kv_tokens)
                                           : pages_for(out.max_seq_len) * options.max_sequences;
  if (plan.kv.num_layers == 0) wanted_pages = pages_for(out.max_seq_len) * options.max_sequences;
  const int64_t sampling = sampling_layout(out.limits, plan.vocab_size).bytes;
  engine::MemoryPlan without_kv = plan_memory(plan, out.limits, workspace, sampling);
  int64_t page_bytes = std::max<int64_t>(1, engine::page_bytes(plan, out.limits));
  int64_t budget = memory_budget(device, options);
  int64_t fitting_pages = (budget - without_kv.total_bytes()) / page_bytes;
  out.limits.num_pages = options.kv_tokens ? wanted_pages : std::min(wanted_pages, fitting_pages);
  out.memory = plan_memory(plan, out.limits, workspace, sampling);
  if (out.limits.num_pages > fitting_pages || out.limits.num_pages < 1) {
    out.limits.num_pages = std::max<int64_t>(out.limits.num_pages, 1);
    out.memory = plan_memory(plan, out.limits, workspace, sampling);
    return base::out_of_memory(
        fmt::format("the engine does not fit: {} may be used, it needs\n{}",
                    engine::bytes_text(budget),
                    byte_table_text(out)),
        "lower --kv-tokens, --max-step-tokens or --max-sequences, or choose a narrower dtype");
  }
  return out;
}

std::string byte_table_text(const SessionPlan& plan) {
  std::string out = engine::byte_table_text(plan.memory);
  if (plan.limits.max_seq_pages == 0) return out;  // The host's memory.
  std::string before = plan.in_use_bytes > 0 ? engine::bytes_text(plan.in_use_bytes) + " in use now"
                                             : "measured at load";
  return out + fmt::format(
                   "  beside it: driver, kernels and their counters: {}; captured decode steps: "
                   "measured at load\n",
                   before);
}

Result<SessionPlan> plan_session(const engine::Engine& engine,
                                 device::Device& device,
                                 const SessionOptions& options) {
  TKM_RETURN_IF_ERROR(verify_plan(engine.plan, device));
  TKM_ASSIGN(std::vector<StepKernels> kernels, make_kernels(engine, device));
  return plan_with_kernels(engine.plan, device, options, kernels);
}

Result<std::vector<engine::EngineCode>> session_code(const engine::Engine& engine,
                                                     device::Device& device) {
  TKM_RETURN_IF_ERROR(verify_plan(engine.plan, device));
  TKM_ASSIGN(std::vector<device::KernelCode> recorded, device.record_code([&]() -> Result<void> {
    TKM_ASSIGN(auto kernels, make_kernels(engine, device));
    // It chooses nothing, so that it has no memory.
    const engine::StepLimits limits{.max_rows = 1, .max_sequences = 1};
    TKM_ASSIGN(auto chooser, Chooser::make(device, limits, {}, engine.plan.vocab_size, nullptr));
    return {};
  }));
  std::vector<engine::EngineCode> out;
  for (device::KernelCode& code : recorded)
    out.push_back({std::move(code.name), std::move(code.key), std::move(code.content)});
  return out;
}

}  // namespace tokamak::runtime
