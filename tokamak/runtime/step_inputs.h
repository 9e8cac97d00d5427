// SPDX-License-Identifier: Apache-2.0
// A step's inputs as one block: packed on the host, copied to the device at once. There are two
// blocks on the host, so that a step can be packed while the one before it is copied.
#pragma once

#include <array>

#include "tokamak/engine/memory_plan.h"
#include "tokamak/kernels/kernel.h"
#include "tokamak/runtime/session.h"

namespace tokamak::runtime {

/// Sizes that kernels choose their grids by. A decode step is padded to its bucket.
struct StepShape {
  int64_t tokens = 0, rows = 0, sequences = 0;
  int64_t max_sequence_rows = 0;
};
StepShape shape_of(const Step& step);

/// Tokens of the smallest bucket that holds the step, if it only decodes: one row of each sequence,
/// each with logits. 0 for other steps and for those that no bucket (ascending) holds.
int64_t decode_bucket(const Step& step, std::span<const int64_t> buckets);

class StepInputs {
 public:
  /// Errors: those of allocating.
  static Result<StepInputs> make(device::Device& device,
                                 const engine::StepLimits& limits,
                                 int64_t bytes);
  /// Writes the step, padded to `shape`, and starts its copy to the device. Padding rows are token
  /// 0 at position 0 of no sequence. Without a step: padding alone. Of the calls before the last
  /// one the device must have come past the copy.
  void set(const Step* step, const StepShape& shape);

  void* token_ids() const { return at(layout_.token_ids); }
  void* positions() const { return at(layout_.positions); }
  void* rows() const { return at(layout_.rows); }
  /// Room for a token a row, at the same place for every step.
  void* sampled() const { return at(layout_.sampled); }
  const kernels::DeviceBatch& batch() const { return batch_; }

 private:
  void* at(int64_t offset) const { return static_cast<std::byte*>(block_.data()) + offset; }
  int32_t* staged(int64_t offset) const {
    return reinterpret_cast<int32_t*>(static_cast<std::byte*>(staging_[0].data()) + offset);
  }
  void stage_sequences(const Step* step, const StepShape& shape);

  device::Device* device_ = nullptr;
  engine::StepLimits limits_;
  device::Memory block_;
  std::array<device::Memory, 2> staging_;  ///< The first is the one to be written.
  engine::StepInputLayout layout_;
  kernels::DeviceBatch batch_;
};

}  // namespace tokamak::runtime
