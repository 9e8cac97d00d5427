// SPDX-License-Identifier: Apache-2.0
// From the steps of a plan to kernels that run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokamak/engine/plan.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::runtime {

Result<kernels::KernelDesc> step_desc(const engine::Plan& plan, const engine::PlanStep& step);
/// The choice for steps of so many rows.
const engine::PlanChoice& choice_for(const engine::PlanStep& step, int64_t rows);
/// The tactic of this name and version. Errors: unsupported (this program has another version: the
/// engine must be built again).
Result<const kernels::Tactic*> chosen_tactic(const engine::PlanChoice& choice);

/// Steps with equal keys run the same kernels, so that one may have them for all: kernels keep
/// nothing from one launch to the next. Steps that attend differ by their layer.
std::string kernels_key(const engine::Plan& plan, const engine::PlanStep& step);

/// The kernels of one step, one a choice; equal choices share a kernel. Copies share all.
class StepKernels {
 public:
  static Result<StepKernels> make(const engine::Plan& plan,
                                  const engine::PlanStep& step,
                                  device::Device& device);
  /// The kernel for a step of so many rows.
  kernels::Kernel& at(int64_t rows) const;
  int64_t workspace_bytes(int64_t max_tokens, int64_t max_rows, int64_t max_sequences) const;

 private:
  std::vector<int64_t> max_tokens_;
  std::vector<std::shared_ptr<kernels::Kernel>> kernels_;
};

}  // namespace tokamak::runtime
