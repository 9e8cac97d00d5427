// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/step_kernels.h"

#include <algorithm>

namespace tokamak::runtime {

Result<kernels::KernelDesc> step_desc(const engine::Plan& plan, const engine::PlanStep& step) {
  kernels::KernelDesc desc;
  TKM_ASSIGN(desc.op, op::Op::parse(step.op, step.attributes));
  engine::StepTypes types = plan.types(step);
  auto inferred = desc.op.infer(types.inputs);
  if (!inferred.ok() || *inferred != types.outputs) {
    return base::corrupt(
        fmt::format("plan step {}: its values do not have the op's types", step.op),
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

std::string kernels_key(const engine::Plan& plan, const engine::PlanStep& step) {
  std::string key = step.op + step.attributes.dump();
  engine::StepTypes types = plan.types(step);
  for (size_t i = 0; i < types.inputs.size(); ++i)
    key += (types.weights[i] ? " weight " : " ") + types.inputs[i].text();
  for (const TensorType& type : types.outputs) key += " -> " + type.text();
  for (const engine::PlanChoice& choice : step.choices) {
    key += fmt::format(
        "\n{} {} {} {}", choice.max_tokens, choice.tactic, choice.version, choice.config.dump());
  }
  return key;
}

Result<StepKernels> StepKernels::make(const engine::Plan& plan,
                                      const engine::PlanStep& step,
                                      device::Device& device) {
  StepKernels out;
  TKM_ASSIGN(kernels::KernelDesc desc, step_desc(plan, step));
  for (size_t i = 0; i < step.choices.size(); ++i) {
    const engine::PlanChoice& choice = step.choices[i];
    out.max_tokens_.push_back(choice.max_tokens);
    std::shared_ptr<kernels::Kernel> kernel;
    for (size_t j = 0; j < i && !kernel; ++j) {
      if (step.choices[j].tactic == choice.tactic && step.choices[j].config == choice.config)
        kernel = out.kernels_[j];
    }
    if (!kernel) {
      TKM_ASSIGN(const kernels::Tactic* tactic, chosen_tactic(choice));
      if (tactic->target != device.target()) {
        return base::unsupported(fmt::format("the engine was built for another target than {}",
                                             base::enum_name(device.target())));
      }
      TKM_ASSIGN(std::unique_ptr<kernels::Kernel> made, tactic->make(desc, choice.config, device));
      kernel = std::move(made);
    }
    out.kernels_.push_back(std::move(kernel));
  }
  return out;
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

}  // namespace tokamak::runtime
