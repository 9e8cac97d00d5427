// SPDX-License-Identifier: Apache-2.0
// Greedy choice on the device: the host sees a token a row instead of a row of logits.
#pragma once

#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::kernels::cuda {

class Greedy {
 public:
  /// Of counters, for each row.
  static constexpr int64_t kCounterBytes = 12;

  /// Errors: those of compiling.
  static Result<Greedy> make(device::Device& device);
  /// tokens[r] = the lowest index of the largest of logits[r], f32 [rows, columns]; -1 if the row
  /// has a NaN, a positive infinity or no finite value. `counters` are zero, and are again after.
  /// All on the device.
  void run(const void* logits, int64_t rows, int64_t columns, void* tokens, void* counters) const;

 private:
  device::cuda::Function function_;
  int64_t num_sms_ = 1;
};

}  // namespace tokamak::kernels::cuda
