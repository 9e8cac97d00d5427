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
  int64_t max_seq_pages = 0;   ///< Columns of the page table of a device that reads it in its own
                               ///< memory; 0 where kernels read the batch on the host.
};

/// Where the inputs of a step of so many tokens, rows and sequences lie in the block that goes to
/// the device with one copy; offsets in bytes, the arrays of op::BatchView's contents as
/// kernels::DeviceBatch describes them.
struct StepInputLayout {
  int64_t sampled = 0;  ///< Room for a token a row, written on the device; the same for every step,
                        ///< as the next one reads it.
  int64_t token_ids = 0, positions = 0, rows = 0, first_rows = 0, contexts = 0, page_table = 0;
  int64_t bytes = 0;  ///< From token_ids to here it is copied.
};
StepInputLayout step_input_layout(int64_t tokens,
                                  int64_t rows,
                                  int64_t sequences,
                                  const StepLimits& limits);

struct ByteRow {
  std::string name;  ///< "weights", "kv cache", "activations", "workspace", "step inputs"; of a
                     ///< device also "token ids of pages", "sampling"
  int64_t bytes = 0;
};

struct MemoryPlan {
  std::vector<int64_t> offsets;  ///< Of each buffer in the activation arena; -1 for other values.
  int64_t arena_bytes = 0;
  std::vector<int64_t> weight_offsets;  ///< Of each plan weight in the weight arena.
  int64_t weight_bytes = 0;
  int64_t workspace_bytes = 0;
  int64_t kv_bytes = 0;
  int64_t input_bytes = 0;     ///< Of the block of step inputs.
  int64_t token_bytes = 0;     ///< Of the token ids of all pages; 0 where the host has them.
  int64_t sampling_bytes = 0;  ///< That choosing tokens takes.
  std::vector<ByteRow> table;  ///< The byte table; its sum is what the session will allocate.
  int64_t total_bytes() const;
};

/// Packs buffers whose lifetimes do not meet into the same bytes (greedy, largest first), the
/// logits kept throughout. `workspace_bytes`: the largest scratch any chosen kernel asks for under
/// the limits. `sampling_bytes`: what choosing tokens takes on a device.
MemoryPlan plan_memory(const Plan& plan,
                       const StepLimits& limits,
                       int64_t workspace_bytes,
                       int64_t sampling_bytes = 0);

/// What one page takes more: keys and values of all layers, and on a device the ids of its tokens.
int64_t page_bytes(const Plan& plan, const StepLimits& limits);

/// Rows of the step's symbols that decide which tactic runs: rows for values with the symbol R,
/// tokens else.
int64_t step_rows(const Plan& plan, const PlanStep& step, int64_t tokens, int64_t rows);

}  // namespace tokamak::engine
