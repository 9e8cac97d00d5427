// SPDX-License-Identifier: Apache-2.0
// What a candidate runs on while the tuner times it: random values, a batch of sequences with their
// cache, and several copies of what a step streams, so that no run finds it in a cache.
#pragma once

#include <vector>

#include "tokamak/kernels/kernel.h"

namespace tokamak::compiler {

/// A batch for an op that attends. Steps of few rows decode: one row of each sequence, which sees
/// kContext tokens. Larger ones hold one prompt.
class TrialBatch {
 public:
  static constexpr int64_t kContext = 1024;
  /// Whether a step of `tokens` rows decodes. A GPU serves many sequences at once.
  static bool decodes(int64_t tokens, const device::Device& device);

  /// An empty batch for ops without a cache. Where the memory does not hold all sequences, they
  /// share pages. Errors: those of allocating.
  static Result<TrialBatch> make(device::Device& device,
                                 const kernels::KernelDesc& desc,
                                 int64_t tokens);
  /// For run `run`: the caches take turns as those of a model's layers do.
  const op::BatchView& view(size_t run);
  const kernels::DeviceBatch& on_device() const { return on_device_; }
  int64_t num_sequences() const { return std::ssize(sequences_); }
  /// Caches that take turns.
  int64_t num_copies() const { return std::ssize(caches_); }

 private:
  void deal_pages(int64_t num_pages, int64_t pages_of_sequence);
  Result<void> place_on_device(device::Device& device, int64_t max_sequence_rows);
  Result<void> add_caches(device::Device& device, op::KvCache cache, int64_t pages, int64_t copies);

  std::vector<std::vector<int32_t>> pages_;  ///< Of each sequence.
  std::vector<op::SequenceSpan> sequences_;
  std::vector<device::Memory> caches_;
  device::Memory arrays_;            ///< first_rows, contexts, page table.
  std::vector<op::KvCache> layers_;  ///< Up to the op's, which is the last.
  op::BatchView view_;
  kernels::DeviceBatch on_device_;
};

/// Inputs, outputs, packed weights and workspace of one kernel, or of others for the same problem.
class Trial {
 public:
  /// `batch` outlives the trial. Errors: those of allocating.
  static Result<Trial> make(device::Device& device,
                            const kernels::KernelDesc& desc,
                            const kernels::Candidate& candidate,
                            const kernels::Kernel& kernel,
                            int64_t tokens,
                            TrialBatch& batch);
  /// The call of run `run`, valid until the next.
  kernels::Launch launch(size_t run);
  /// The workspace will do for `kernel` too. Errors: those of allocating.
  Result<void> make_room(device::Device& device, const kernels::Kernel& kernel);
  /// Input `input` is output `output` of `from`, which outlives this trial.
  void read(size_t input, const Trial& from, size_t output);

 private:
  Result<TensorView> value(device::Device& device, const TensorType& type, bool in_turns);
  Result<void> add_weights(device::Device& device, DType dtype, int64_t bytes);

  std::vector<device::Memory> memory_;  ///< Of the inputs, then of the outputs.
  std::vector<device::Memory> weights_;
  int64_t tokens_ = 0;
  device::Memory workspace_;
  std::vector<TensorView> inputs_, outputs_;
  TrialBatch* batch_ = nullptr;
};

}  // namespace tokamak::compiler
