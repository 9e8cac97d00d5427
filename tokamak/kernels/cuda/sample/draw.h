// SPDX-License-Identifier: Apache-2.0
// Drawing tokens on the device: temperature, top-k, top-p and min-p without moving rows of logits.
#pragma once

#include <array>

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
  int32_t place = 0;   ///< Of the token.
};

class Draw {
 public:
  /// For at most `max_draws` at once. Errors: those of compiling; out_of_memory.
  static Result<Draw> make(device::Device& device, int64_t max_draws, int64_t columns);
  /// tokens[place] = what runtime::sample() draws, but for rounding of weights, from f32 logits
  /// [rows, columns]; -1 if the host must choose. All on the device, which must have come past the
  /// runs before the last one.
  void run(const void* logits, std::span<const DrawRow> asked, void* tokens);

 private:
  device::Device* device_ = nullptr;
  device::cuda::Function function_;
  device::Memory rows_;                    ///< That ask.
  std::array<device::Memory, 2> staging_;  ///< The first is to be written; the other may be read.
  int64_t columns_ = 0, max_draws_ = 0;
};

}  // namespace tokamak::kernels::cuda
