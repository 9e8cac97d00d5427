// SPDX-License-Identifier: Apache-2.0
// The parts of planning that opening a session shares with plan_session().
#pragma once

#include "tokamak/runtime/engine_session.h"
#include "tokamak/runtime/step_kernels.h"

namespace tokamak::runtime {

/// Errors: invalid, with name, value and limits.
Result<void> in_range(std::string_view name, int64_t value, int64_t low, int64_t high);

/// The byte table, and on a GPU what stands beside it: what was in use before (driver, kernels and
/// their counters), and that graphs are measured only when they are captured.
std::string byte_table_text(const SessionPlan& plan);

/// plan_session() for kernels that were made before.
Result<SessionPlan> plan_with_kernels(const engine::Plan& plan,
                                      device::Device& device,
                                      const SessionOptions& options,
                                      std::span<const StepKernels> kernels);

}  // namespace tokamak::runtime
