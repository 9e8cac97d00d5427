// SPDX-License-Identifier: Apache-2.0
// What others do on a GPU, as far as the driver's management library tells.
#pragma once

#include <cstdint>

#include "tokamak/base/result.h"

namespace tokamak::device::cuda {

struct GpuLoad {
  int busy_percent = 0;    ///< Of the last moments in which some kernel ran.
  int num_processes = 0;   ///< That compute on it; in a container they may not be visible.
  int64_t used_bytes = 0;  ///< Of all processes, and what the driver keeps.
};

/// Of the GPU that the cuda target takes, whoever uses it: ask before this process does. Errors:
/// unsupported (no driver, no GPU, no libnvidia-ml.so.1).
Result<GpuLoad> gpu_load();

}  // namespace tokamak::device::cuda
