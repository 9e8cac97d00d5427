// SPDX-License-Identifier: Apache-2.0
// Where every byte of a running engine goes, known before anything is allocated.
#pragma once

#include <string>
#include <vector>

#include "tokamak/engine/plan.h"

namespace tokamak::engine {

/// Run-time limits; nothing of them is fixed when an engine is built.
struct StepLimits {
  int64_t max_tokens = 512;    ///< Rows of one packed batch.
  int64_t max_rows = 64;       ///< Rows of logits of one step.
  int64_t max_sequences = 64;  ///< Sequences of one step.
  int64_t num_pages = 0;       ///< Of the KV pool, each of 64 tokens in all layers.
};

struct ByteRow {
  std::string name;  ///< "weights", "kv cache", "activations", "workspace", "step inputs"
  int64_t bytes = 0;
};

struct MemoryPlan {
  std::vector<int64_t> offsets;  ///< Of each value in the activation arena; -1 for weights.
  int64_t arena_bytes = 0;
  std::vector<int64_t> weight_offsets;  ///< Of each plan weight in the weight arena.
  int64_t weight_bytes = 0;
  int64_t workspace_bytes = 0;
  int64_t kv_bytes = 0;
  std::vector<ByteRow> table;  ///< The byte table; its sum is what the session will allocate.
  int64_t total_bytes() const;
};

/// Packs buffers whose lifetimes do not meet into the same bytes (greedy, largest first), inputs
/// and outputs kept throughout. `workspace_bytes`: the largest scratch any chosen kernel asks for
/// under the limits.
MemoryPlan plan_memory(const Plan& plan, const StepLimits& limits, int64_t workspace_bytes);

/// Rows of the step's symbols that decide which tactic runs: rows for values with the symbol R,
/// tokens else.
int64_t step_rows(const Plan& plan, const PlanStep& step, int64_t tokens, int64_t rows);

}  // namespace tokamak::engine
