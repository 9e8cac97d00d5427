// SPDX-License-Identifier: Apache-2.0
// Choosing tokens on the device, the best or by temperature, top-k, top-p and min-p, without moving
// rows of logits.
#pragma once

#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::kernels::cuda {

/// What asks for a token; tkm::DrawRow.
struct DrawRow {
  double uniform = 0;  ///< The random number in [0, 1).
  float scale = 0;     ///< log2(e) / temperature; 0: the best token, the lowest id of those that
                       ///< tie, and nothing else counts.
  float top_p = 1;     ///< (0, 1]
  float min_p = 0;     ///< [0, 1]
  int32_t top_k = 0;   ///< 0: all.
  int32_t row = 0;     ///< Of the logits, -1 - row: of the adjusted ones; several may ask of one.
  int32_t place = 0;   ///< Of the token.
};

class Draw {
 public:
  /// Errors: those of compiling.
  static Result<Draw> make(device::Device& device, int64_t columns);
  /// tokens[place] = what runtime::sample() takes, but for rounding of weights, from f32 logits or
  /// adjusted logits [rows, columns]; -1 if the host must choose. `asked`: `count` DrawRows. All on
  /// the device.
  void run(const void* logits,
           const void* adjusted,
           const void* asked,
           int64_t count,
           void* tokens) const;

 private:
  device::cuda::Function function_;
  int64_t columns_ = 0;
};

}  // namespace tokamak::kernels::cuda
