// SPDX-License-Identifier: Apache-2.0
// Token ids of a step: those that the host did not know yet are taken from where the step before
// left them, and all are noted by page and position.
#pragma once

#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::kernels::cuda {

class NoteTokens {
 public:
  /// Errors: those of compiling.
  static Result<NoteTokens> make(device::Device& device);
  /// Of `count` ids, each below 0 becomes sampled[-1 - id], or 0 where that is below 0. Those of
  /// the batch's sequences go to `pages`, i32 [pages, 64], too, at their positions. All on the
  /// device.
  void run(void* token_ids,
           const void* sampled,
           const DeviceBatch& batch,
           void* pages,
           int64_t count) const;

 private:
  device::cuda::Function function_;
};

}  // namespace tokamak::kernels::cuda
