// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/step_kernels.h"

#include <algorithm>
#include <map>

#include "tokamak/runtime/verify_weights.h"

namespace tokamak::runtime {

Result<kernels::KernelDesc> step_desc(const engine::Plan& plan, const engine::PlanStep& step) {
  kernels::KernelDesc desc;
  TKM_ASSIGN(desc.op, op::Op::parse(step.op, step.attributes));
  engine::StepTypes types = plan.types(step);
  TKM_ASSIGN(op::Types inferred, desc.op.infer(types.inputs));
  if (inferred != types.outputs) {
    auto text = [](const op::Types& list) {
      std::string out;
      for (const TensorType& type : list) out += (out.empty() ? "" : ", ") + type.text();
      return out;
    };
    return base::corrupt(fmt::format("{}: it makes {}, but the plan has {} for that",
                                     step.op,
                                     text(inferred),
                                     text(types.outputs)),
                         "build the engine again");
  }
  desc.inputs = std::move(types.inputs);
  desc.outputs = std::move(types.outputs);
  desc.weights = std::move(types.weights);
  return desc;
}

const engine::PlanChoice& choice_for(const engine::PlanStep& step, int64_t rows) {
  for (const engine::PlanChoice& choice : step.choices) {
    if (rows <= choice.max_tokens) return choice;
  }
  return step.choices.back();
}

Result<const kernels::Tactic*> chosen_tactic(const engine::PlanChoice& choice) {
  const kernels::Tactic* tactic = kernels::find_tactic(choice.tactic);
  if (!tactic || tactic->version != choice.version) {
    return base::unsupported(
        fmt::format("the engine uses tactic {} version {}, this program has {}",
                    choice.tactic,
                    choice.version,
                    tactic ? fmt::format("version {}", tactic->version) : "no such tactic"),
        "build the engine again; it takes seconds");
  }
  return tactic;
}

void StepKernels::add(int64_t max_tokens, std::shared_ptr<kernels::Kernel> kernel) {
  max_tokens_.push_back(max_tokens);
  kernels_.push_back(std::move(kernel));
}

kernels::Kernel& StepKernels::at(int64_t rows) const {
  size_t i = static_cast<size_t>(std::lower_bound(max_tokens_.begin(), max_tokens_.end(), rows) -
                                 max_tokens_.begin());
  return *kernels_[std::min(i, kernels_.size() - 1)];
}

int64_t StepKernels::workspace_bytes(int64_t max_tokens,
                                     int64_t max_rows,
                                     int64_t max_sequences) const {
  int64_t bytes = 0;
  for (const auto& kernel : kernels_)
    bytes = std::max(bytes, kernel->workspace_bytes(max_tokens, max_rows, max_sequences));
  return bytes;
}

std::string kernel_key(const engine::Plan& plan,
                       const engine::PlanStep& step,
                       const engine::PlanChoice& choice) {
  std::string key = step.op + step.attributes.dump();
  engine::StepTypes types = plan.types(step);
  for (size_t i = 0; i < types.inputs.size(); ++i)
    key += (types.weights[i] ? " weight " : " ") + types.inputs[i].text();
  for (const TensorType& type : types.outputs) key += " -> " + type.text();
  return key + fmt::format(" {} {} {}", choice.tactic, choice.version, choice.config.dump());
}

namespace {

Result<std::unique_ptr<kernels::Kernel>> make_kernel(const engine::Plan& plan,
                                                     const engine::PlanStep& step,
                                                     const engine::PlanChoice& choice,
                                                     device::Device& device) {
  TKM_ASSIGN(kernels::KernelDesc desc, step_desc(plan, step));
  TKM_ASSIGN(const kernels::Tactic* tactic, chosen_tactic(choice));
  if (tactic->target != device.target()) {
    return base::unsupported(fmt::format("the engine was built for another target than {}",
                                         base::enum_name(device.target())));
  }
  return tactic->make(desc, choice.config, device);
}

/// A config that the tactic does not know is the plan's fault.
Error not_made(const engine::Plan& plan,
               const engine::PlanStep& step,
               const engine::PlanChoice& choice,
               Error error) {
  if (error.code != ErrorCode::kInvalid) return error;
  if (!error.message.starts_with(choice.tactic))
    error.message = fmt::format("{}: {}", choice.tactic, error.message);
  return error_of_step(static_cast<size_t>(&step - plan.steps.data()), std::move(error));
}

/// A step with one of its choices.
struct WantedKernel {
  const engine::PlanStep* step;
  const engine::PlanChoice* choice;
};

}  // namespace

Result<std::vector<StepKernels>> make_kernels(const engine::Engine& engine,
                                              device::Device& device) {
  const engine::Plan& plan = engine.plan;
  for (const engine::EngineCode& code : engine.code)
    device.offer_code({code.name, code.key, code.content});
  std::vector<WantedKernel> wanted;
  std::vector<size_t> places;  // Of each step's choices, in order.
  std::map<std::string, size_t> known;
  for (const engine::PlanStep& step : plan.steps) {
    for (const engine::PlanChoice& choice : step.choices) {
      auto [it, is_new] = known.emplace(kernel_key(plan, step, choice), wanted.size());
      if (is_new) wanted.push_back({&step, &choice});
      places.push_back(it->second);
    }
  }
  auto made = kernels::make_kernels(device, std::ssize(wanted), [&](int64_t i) {
    const auto& [step, choice] = wanted[static_cast<size_t>(i)];
    return make_kernel(plan, *step, *choice, device);
  });
  std::vector<std::shared_ptr<kernels::Kernel>> shared;
  for (size_t i = 0; i < made.size(); ++i) {
    auto& kernel = *made[i];
    if (!kernel.ok())
      return not_made(plan, *wanted[i].step, *wanted[i].choice, std::move(kernel.error()));
    shared.push_back(*std::move(kernel));
  }
  std::vector<StepKernels> out(plan.steps.size());
  auto place = places.begin();
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    for (const engine::PlanChoice& choice : plan.steps[s].choices) {
      out[s].add(choice.max_tokens, shared[*place++]);
    }
  }
  return out;
}

}  // namespace tokamak::runtime
