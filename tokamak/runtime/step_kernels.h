// SPDX-License-Identifier: Apache-2.0
// From the steps of a plan to kernels that run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokamak/engine/engine.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::runtime {

/// Errors: invalid (no such op or attribute, types that it refuses), corrupt (its results have
/// other types than the plan's values), beginning with the op.
Result<kernels::KernelDesc> step_desc(const engine::Plan& plan, const engine::PlanStep& step);
/// The choice for steps of so many rows.
const engine::PlanChoice& choice_for(const engine::PlanStep& step, int64_t rows);
/// The tactic of this name and version. Errors: unsupported (this program has another version: the
/// engine must be built again).
Result<const kernels::Tactic*> chosen_tactic(const engine::PlanChoice& choice);

/// Equal keys: kernels that one may stand for.
std::string kernel_key(const engine::Plan& plan,
                       const engine::PlanStep& step,
                       const engine::PlanChoice& choice);

/// The kernels of one step, one a choice.
class StepKernels {
 public:
  /// For steps of up to so many rows, more than of those before.
  void add(int64_t max_tokens, std::shared_ptr<kernels::Kernel> kernel);
  /// The kernel for a step of so many rows.
  kernels::Kernel& at(int64_t rows) const;
  int64_t workspace_bytes(int64_t max_tokens, int64_t max_rows, int64_t max_sequences) const;

 private:
  std::vector<int64_t> max_tokens_;
  std::vector<std::shared_ptr<kernels::Kernel>> kernels_;
};

/// The kernels of all steps, from the engine's machine code where it fits this program. Choices
/// that are alike share one, also those of different layers; where they attend, layers have their
/// own. Errors: unsupported (an engine of another target, tactics of another version), those of
/// making.
Result<std::vector<StepKernels>> make_kernels(const engine::Engine& engine, device::Device& device);

}  // namespace tokamak::runtime
