// SPDX-License-Identifier: Apache-2.0
// The plan's steps, bound to memory and ready to run on any batch.
#pragma once

#include "tokamak/engine/memory_plan.h"
#include "tokamak/runtime/step_inputs.h"
#include "tokamak/runtime/step_kernels.h"

namespace tokamak::runtime {

/// The memory of a session.
struct SessionMemory {
  device::Memory weights, arena, workspace, kv;
};

class Player {
 public:
  /// `plan` outlives the player.
  Player(const engine::Plan& plan,
         const engine::MemoryPlan& memory,
         const engine::StepLimits& limits,
         std::vector<StepKernels> kernels,
         SessionMemory arenas);

  /// Runs all steps over what `inputs` holds. `sequences` are for kernels that read the batch on
  /// the host.
  void play(const StepInputs& inputs,
            const StepShape& shape,
            std::span<const op::SequenceSpan> sequences);
  size_t num_steps() const { return steps_.size(); }
  /// play() of one step of the plan.
  void play_step(size_t s,
                 const StepInputs& inputs,
                 const StepShape& shape,
                 std::span<const op::SequenceSpan> sequences);
  /// f32 [rows of the last play, vocab], in the device's memory.
  void* logits() const { return views_[static_cast<size_t>(plan_.logits)].data; }

 private:
  struct BoundStep {
    std::vector<TensorView> inputs, outputs;
    /// Views whose first dimension changes with the step.
    std::vector<std::pair<TensorView*, tensor::Symbol>> symbolic;
    /// Views of the step's inputs, which move with its shape, and which value they are.
    std::vector<std::pair<TensorView*, int32_t>> moving;
    bool counts_rows = false;
  };
  void bind_values(const engine::MemoryPlan& memory);
  void bind_steps();
  void note_changing(BoundStep& step,
                     std::vector<TensorView>& views,
                     const std::vector<int32_t>& values);
  void bind_caches(int64_t num_pages);

  const engine::Plan& plan_;
  std::vector<StepKernels> kernels_;
  SessionMemory arenas_;
  std::vector<TensorView> views_;
  std::vector<BoundStep> steps_;
  std::vector<op::KvCache> caches_;
};

}  // namespace tokamak::runtime
