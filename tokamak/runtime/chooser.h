// SPDX-License-Identifier: Apache-2.0
// From a step's logits to its tokens and log-probabilities: on a GPU by its kernels, and by the
// host only where they leave a row to it; else by the sampler on the host.
#pragma once

#include "tokamak/runtime/step_inputs.h"

namespace tokamak::runtime {

class Chooser {
 public:
  /// `sampled`: see StepInputs. On a GPU takes `memory`'s token_bytes and sampling_bytes of it.
  /// Errors: those of allocating and, on a GPU, of compiling.
  static Result<std::unique_ptr<Chooser>> make(device::Device& device,
                                               const engine::StepLimits& limits,
                                               const engine::MemoryPlan& memory,
                                               int64_t vocab_size,
                                               void* sampled);
  virtual ~Chooser() = default;
  /// Steps that may be launched and not finished.
  virtual int64_t max_under_way() const = 0;
  /// Of the step's work on the device, what comes first: unknown token ids are taken from
  /// `sampled`, and all are noted in the sequences' pages. May be captured.
  virtual void begin(const StepInputs& inputs, const StepShape& shape) = 0;
  /// What comes last: the best token of each row goes to `sampled`. May be captured.
  virtual void end(void* logits, int64_t rows) = 0;
  /// What differs from step to step: goes behind end().
  virtual void launch(const Step& step, const StepInputs& inputs, void* logits) = 0;
  /// Waits for the oldest step launched and chooses. `logits` are still this step's, or those of a
  /// later one. Errors: of the kernels so far.
  virtual Result<StepOutput> finish(void* logits, bool keeps_logits) = 0;
};

}  // namespace tokamak::runtime
