// SPDX-License-Identifier: Apache-2.0
// The least time that a step can take on a device: what it must read from memory at the rate at
// which reads stream, or its arithmetic at the rate of large products, whichever takes longer.
#pragma once

#include "tokamak/kernels/kernel.h"

namespace tokamak::compiler {

struct StepWork {
  int64_t bytes = 0;  ///< Weights, keys and values; what steps hand each other stays in caches.
  double flops = 0;   ///< Of products.
};

/// Of `tokens` rows; ops that attend: on a TrialBatch, as the tuner times them.
StepWork step_work(const kernels::KernelDesc& desc, int64_t tokens, const device::Device& device);

/// Microseconds at these rates (bytes and operations a second); 0 where they are not known.
double floor_us(const StepWork& work, double read_bandwidth, double peak_flops);
/// At the rates that the device says.
double floor_us(const StepWork& work, DType dtype, const device::Device& device);

}  // namespace tokamak::compiler
