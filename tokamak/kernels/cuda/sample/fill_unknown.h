// SPDX-License-Identifier: Apache-2.0
// Token ids that the host does not know yet, taken from where the step before left them.
#pragma once

#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::kernels::cuda {

class FillUnknown {
 public:
  /// Errors: those of compiling.
  static Result<FillUnknown> make(device::Device& device);
  /// Of `count` ids, each below 0 becomes sampled[-1 - id], or 0 where that is below 0. All on the
  /// device.
  void run(void* token_ids, const void* sampled, int64_t count) const;

 private:
  device::cuda::Function function_;
};

}  // namespace tokamak::kernels::cuda
