// SPDX-License-Identifier: Apache-2.0
// What Module and Function share.
#pragma once

#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::device::cuda {

struct LoadedModule {
  struct Entry {
    abi::FunctionHandle handle = nullptr;
    KernelUsage usage;
  };
  LoadedModule(CudaDevice& on, std::string kernel_name)
      : device(on), name(std::move(kernel_name)) {}
  ~LoadedModule();
  LoadedModule(const LoadedModule&) = delete;
  LoadedModule& operator=(const LoadedModule&) = delete;

  CudaDevice& device;  ///< Outlives its modules.
  std::string name;
  abi::LibraryHandle library = nullptr;  ///< Null on a device that only compiles.
  std::vector<Entry> entries;
  abi::DevicePointer began_at = 0;  ///< Of tkm_began_at (tile/async.cuh), if its kernels have it.
};

}  // namespace tokamak::device::cuda
