// SPDX-License-Identifier: Apache-2.0
// Drawing tokens on the device: temperature, top-k, top-p and min-p without moving rows of logits.
#pragma once

#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::kernels::cuda {

/// What asks for a draw; tkm::DrawRow.
struct DrawRow {
  double uniform = 0;  ///< The random number in [0, 1).
  float scale = 0;     ///< log2(e) / temperature
  float top_p = 1;     ///< (0, 1]
  float min_p = 0;     ///< [0, 1]
  int32_t top_k = 0;   ///< 0: all.
  int32_t row = 0;     ///< Of the logits; several may ask of one.
  int32_t unused = 0;
};

class Draw {
 public:
  /// For at most `max_draws` at once. Errors: those of compiling; out_of_memory.
  static Result<Draw> make(device::Device& device, int64_t max_draws, int64_t columns);
  int64_t max_draws() const { return max_draws_; }
  /// Starts the draws from f32 logits [rows, columns] on the device.
  void run(const void* logits, std::span<const DrawRow> asked);
  /// Of the last run in its order, once the device has come so far: what runtime::sample() draws,
  /// but for rounding of weights; -1 if the host must choose.
  std::span<const int32_t> tokens() const;

 private:
  device::Device* device_ = nullptr;
  device::cuda::Function function_;
  device::Memory host_, block_;  ///< Rows that ask, then their tokens.
  int64_t columns_ = 0, max_draws_ = 0, num_draws_ = 0;
};

}  // namespace tokamak::kernels::cuda
