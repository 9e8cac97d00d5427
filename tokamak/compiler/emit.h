// SPDX-License-Identifier: Apache-2.0
// From a rewritten graph to a plan: steps, values, weights with their layouts, and for each step
// and token bucket the fastest tactic.
#pragma once

#include <span>

#include "tokamak/base/progress.h"
#include "tokamak/compiler/tuner.h"
#include "tokamak/engine/plan.h"
#include "tokamak/ir/graph.h"

namespace tokamak::compiler {

/// Rows of a step for which tactics are chosen apart; larger steps use the last. A GPU's decode
/// steps are padded to powers of two, and its kernels for large products differ with their size.
std::span<const int64_t> buckets(Target target);

/// `graph` has the inputs "token_ids", "positions", "rows" and one output, the logits.
/// `max_positions` of the model goes into the plan. Errors: unsupported (an op that no tactic of
/// the target runs, with its types), invalid (a graph that is not a decoder's).
Result<engine::Plan> emit(const ir::Graph& graph,
                          int64_t max_positions,
                          device::Device& device,
                          Tuner& tuner,
                          const base::Progress& progress = {});

/// The desc of a step as the runtime will see it again.
Result<kernels::KernelDesc> step_desc(const engine::Plan& plan, const engine::PlanStep& step);

}  // namespace tokamak::compiler
