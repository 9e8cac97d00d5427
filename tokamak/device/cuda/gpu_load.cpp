// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/cuda/gpu_load.h"

#include <array>

#include <dlfcn.h>
#include <fmt/format.h>

#include "tokamak/device/cuda/libraries.h"

namespace tokamak::device::cuda {
namespace {

// The part of NVML's interface that is used, by its documented types.
using NvmlDevice = void*;
struct NvmlUtilization {
  unsigned gpu = 0, memory = 0;
};
struct NvmlMemory {
  unsigned long long total = 0, free = 0, used = 0;
};
struct NvmlProcess {
  unsigned pid;
  unsigned long long used_bytes;
  unsigned gpu_instance, compute_instance;
};
constexpr int kNvmlSuccess = 0, kNvmlMoreThanFits = 7;

struct Nvml {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*device_of_bus_id)(const char*, NvmlDevice*) = nullptr;
  int (*utilization)(NvmlDevice, NvmlUtilization*) = nullptr;
  int (*memory)(NvmlDevice, NvmlMemory*) = nullptr;
  int (*processes)(NvmlDevice, unsigned*, NvmlProcess*) = nullptr;
};

template <typename Call>
bool resolve(void* library, const char* name, Call& call) {
  call = reinterpret_cast<Call>(::dlsym(library, name));
  return call != nullptr;
}

Result<Nvml> open_nvml() {
  void* library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  Nvml nvml;
  const bool whole = library && resolve(library, "nvmlInit_v2", nvml.init) &&
                     resolve(library, "nvmlShutdown", nvml.shutdown) &&
                     resolve(library, "nvmlDeviceGetHandleByPciBusId_v2", nvml.device_of_bus_id) &&
                     resolve(library, "nvmlDeviceGetUtilizationRates", nvml.utilization) &&
                     resolve(library, "nvmlDeviceGetMemoryInfo", nvml.memory) &&
                     resolve(library, "nvmlDeviceGetComputeRunningProcesses_v3", nvml.processes);
  if (!whole || nvml.init() != kNvmlSuccess)
    return base::unsupported("libnvidia-ml.so.1 cannot be used, so nobody knows who uses the GPU");
  return nvml;
}

/// Of the first device that CUDA shows to this process.
Result<std::string> bus_id() {
  TKM_ASSIGN(const abi::Driver* calls, driver());
  abi::DeviceHandle device = 0;
  TKM_RETURN_IF_ERROR(check(calls->cuDeviceGet(&device, 0), "cuDeviceGet"));
  int (*get)(char*, int, abi::DeviceHandle) = nullptr;
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  std::array<char, 32> text = {};
  if (!library || !resolve(library, "cuDeviceGetPCIBusId", get) ||
      get(text.data(), static_cast<int>(text.size()), device) != 0)
    return base::unsupported("the driver does not say where the GPU is");
  return std::string(text.data());
}

}  // namespace

Result<GpuLoad> gpu_load() {
  TKM_ASSIGN(std::string id, bus_id());
  TKM_ASSIGN(Nvml nvml, open_nvml());
  GpuLoad load;
  NvmlDevice device = nullptr;
  NvmlUtilization utilization;
  NvmlMemory memory;
  unsigned count = 0;
  bool known = nvml.device_of_bus_id(id.c_str(), &device) == kNvmlSuccess &&
               nvml.memory(device, &memory) == kNvmlSuccess;
  if (known) {
    load.used_bytes = static_cast<int64_t>(memory.used);
    if (nvml.utilization(device, &utilization) == kNvmlSuccess)
      load.busy_percent = static_cast<int>(utilization.gpu);
    // Without room for them it only says how many there are.
    if (int status = nvml.processes(device, &count, nullptr);
        status == kNvmlSuccess || status == kNvmlMoreThanFits)
      load.num_processes = static_cast<int>(count);
  }
  nvml.shutdown();
  if (!known) return base::unsupported(fmt::format("NVML does not know the GPU {}", id));
  return load;
}

}  // namespace tokamak::device::cuda
