// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/cuda/module.h"

#include "tokamak/device/cuda/libraries.h"

namespace tokamak::device::cuda {
namespace {

int blocks_of_cluster(const LaunchShape& shape) {
  return static_cast<int>(shape.cluster.x * shape.cluster.y * shape.cluster.z);
}

struct LaunchAttributes {
  abi::LaunchAttribute values[2] = {};
  unsigned count = 0;

  LaunchAttributes(const LaunchShape& shape, bool dependent) {
    if (blocks_of_cluster(shape) > 1) {
      values[count].id = abi::kAttributeClusterDimension;
      values[count++].value.cluster = {shape.cluster.x, shape.cluster.y, shape.cluster.z};
    }
    if (dependent) {
      values[count].id = abi::kAttributeProgrammaticStreamSerialization;
      values[count++].value.programmatic_stream_serialization = 1;
    }
  }
};

/// `attributes` outlive it.
abi::LaunchConfig launch_config(const LaunchShape& shape,
                                CudaDevice& device,
                                LaunchAttributes& attributes) {
  return {.grid_x = shape.grid.x,
          .grid_y = shape.grid.y,
          .grid_z = shape.grid.z,
          .block_x = shape.block.x,
          .block_y = shape.block.y,
          .block_z = shape.block.z,
          .shared_bytes = shape.shared_bytes,
          .stream = device.stream(),
          .attributes = attributes.values,
          .num_attributes = attributes.count};
}

}  // namespace

LoadedModule::~LoadedModule() {
  if (!library) return;
  device.make_current();
  // Its last launch may still be under way.
  driver().value()->cuStreamSynchronize(device.stream());
  driver().value()->cuLibraryUnload(library);
}

Function Module::at(size_t index) const {
  TKM_CHECK(module_ && index < module_->entries.size(), "kernel {} of a module", index);
  Function function;
  function.module_ = module_;
  function.index_ = index;
  return function;
}

const KernelUsage& Function::usage() const {
  return module_->entries[index_].usage;
}

int Function::blocks_per_sm(int threads, int shared_bytes) const {
  const LoadedModule::Entry& entry = module_->entries[index_];
  const DeviceInfo& info = module_->device.info();
  int blocks = 0;
  if (entry.handle) {
    module_->device.make_current();
    driver().value()->cuOccupancyMaxActiveBlocksPerMultiprocessor(
        &blocks, entry.handle, threads, static_cast<size_t>(shared_bytes));
    return blocks;
  }
  // Registers are given to warps in units of 256, of 64 Ki on every multiprocessor since sm_80.
  int warps = (threads + 31) / 32;
  int registers = (std::max(entry.usage.registers, 1) * 32 + 255) / 256 * 256 * warps;
  int shared = shared_bytes + entry.usage.shared_bytes + 1024;
  return std::min(
      {2048 / std::max(threads, 1), 65536 / registers, info.shared_bytes_per_sm / shared});
}

int Function::clusters_at_once(const LaunchShape& shape) const {
  const LoadedModule::Entry& entry = module_->entries[index_];
  const int blocks = blocks_of_cluster(shape);
  if (!entry.handle || blocks == 1) {
    const int threads = static_cast<int>(shape.block.x * shape.block.y * shape.block.z);
    return blocks_per_sm(threads, static_cast<int>(shape.shared_bytes)) *
           module_->device.info().num_sms / blocks;
  }
  LaunchAttributes attributes(shape, /*dependent=*/false);
  abi::LaunchConfig config = launch_config(shape, module_->device, attributes);
  int clusters = 0;
  module_->device.make_current();
  driver().value()->cuOccupancyMaxActiveClusters(&clusters, entry.handle, &config);
  return clusters;
}

void Function::launch_with(const LaunchShape& shape, void** arguments) const {
  const LoadedModule::Entry& entry = module_->entries[index_];
  CudaDevice& device = module_->device;
  TKM_CHECK(entry.handle, "{}: this device only compiles", module_->name);
  LaunchAttributes attributes(shape, shape.dependent && device.info().compute_capability >= 90);
  abi::LaunchConfig config = launch_config(shape, device, attributes);
  device.make_current();
  abi::Status status =
      driver().value()->cuLaunchKernelEx(&config, entry.handle, arguments, nullptr);
  if (status == abi::kSuccess) return;
  device.note(
      status,
      "cuLaunchKernelEx",
      fmt::format("{} with {}x{}x{} blocks of {}x{}x{} threads and {} bytes of shared memory",
                  module_->name,
                  shape.grid.x,
                  shape.grid.y,
                  shape.grid.z,
                  shape.block.x,
                  shape.block.y,
                  shape.block.z,
                  shape.shared_bytes));
}

}  // namespace tokamak::device::cuda
