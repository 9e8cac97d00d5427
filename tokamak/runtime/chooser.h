// SPDX-License-Identifier: Apache-2.0
// From a step's logits to its tokens: on the device where a row asks for the best token or for a
// draw by temperature, top-k, top-p and min-p; on the host where it asks for more.
#pragma once

#include "tokamak/runtime/step_inputs.h"

namespace tokamak::runtime {

/// The row takes the largest logit and asks for nothing else.
bool takes_best(const SampleContext& context);
/// The row asks for a draw from the logits as they are, and for nothing else.
bool draws_plainly(const SampleContext& context);

class Chooser {
 public:
  /// Errors: those of allocating and, on a GPU, of compiling.
  static Result<std::unique_ptr<Chooser>> make(device::Device& device,
                                               int64_t max_rows,
                                               int64_t vocab_size);
  virtual ~Chooser() = default;
  /// What belongs to the step's work on the device; may be captured. `sampled`: see StepInputs.
  virtual void enqueue(void* logits, int64_t rows, void* sampled) = 0;
  /// Waits for the step and chooses. Errors: of the step's kernels.
  virtual Result<StepOutput> finish(const Step& step, void* logits, const void* sampled) = 0;
};

}  // namespace tokamak::runtime
