// SPDX-License-Identifier: Apache-2.0
// Random contents for weights that nobody has to load: benches and timings.
#pragma once

#include "tokamak/device/device.h"

namespace tokamak::kernels::cuda {

/// data[i] = offset + scale * u, u uniform in [-1, 1) and a function of (seed, i), for `count`
/// values of f32 or bf16 in the device's memory. Errors: unsupported (another dtype).
Result<void> fill_random(device::Device& device,
                         void* data,
                         DType dtype,
                         int64_t count,
                         float offset,
                         float scale,
                         uint64_t seed);

}  // namespace tokamak::kernels::cuda
