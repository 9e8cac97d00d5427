// SPDX-License-Identifier: Apache-2.0
// What doctor says about one thing of a machine.
#pragma once

#include <string>

#include "tokamak/device/cuda/gpu_load.h"

namespace tokamak::cli {

struct Finding {
  enum Level { kOk, kNote, kProblem } level = kOk;
  std::string what;
  std::string advice;  ///< Empty if nothing needs to be done.
};

/// Whether others keep the machine from showing what it can: `load` programs want to run, on the
/// average of the last minute, on so many processors.
Finding processors_in_use(double load, int processors);
Finding gpu_in_use(const device::cuda::GpuLoad& load);

}  // namespace tokamak::cli
