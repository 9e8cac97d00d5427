// SPDX-License-Identifier: Apache-2.0
// The device code of this folder as it is built into the program.
#pragma once

#include "tokamak/device/cuda/compile.h"

namespace tokamak::kernels::cuda {

/// Every .cuh file under kernels/cuda, by its path there: "tile/types.cuh". The table is written by
/// cmake/embed_sources.cmake.
std::span<const device::cuda::EmbeddedFile> sources();

}  // namespace tokamak::kernels::cuda
