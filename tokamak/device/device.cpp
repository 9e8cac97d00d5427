// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/device.h"

#include <chrono>
#include <cstring>
#include <fstream>

#include <sys/mman.h>
#include <unistd.h>

#include "tokamak/device/cpu/isa.h"
#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::device {
namespace {

constexpr int64_t kHugePage = 2 << 20;

/// Anonymous pages, huge where possible: streaming weights through 4 KiB pages costs a TLB miss
/// each.
Result<Memory> map_memory(int64_t bytes) {
  int64_t length = (std::max<int64_t>(bytes, 1) + kHugePage - 1) / kHugePage * kHugePage;
  int64_t reserved = length + kHugePage;
  void* base = ::mmap(nullptr,
                      static_cast<size_t>(reserved),
                      PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1,
                      0);
  if (base == MAP_FAILED)
    return base::out_of_memory(fmt::format("cannot allocate {} bytes of host memory", bytes));
  auto owner = std::shared_ptr<void>(
      base, [reserved](void* p) { ::munmap(p, static_cast<size_t>(reserved)); });
  auto address = (reinterpret_cast<uintptr_t>(base) + kHugePage - 1) / kHugePage * kHugePage;
  void* data = reinterpret_cast<void*>(address);
  if (bytes >= kHugePage) ::madvise(data, static_cast<size_t>(length), MADV_HUGEPAGE);
  return Memory(data, bytes, std::move(owner));
}

int64_t available_host_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (int64_t kib; file >> key >> kib >> unit;) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return static_cast<int64_t>(::sysconf(_SC_AVPHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}
int64_t all_host_bytes() {
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

/// Calls return when they are done.
class HostEvent : public Event {
 public:
  void record() override {}
  Result<void> wait() override { return {}; }
};

class HostDevice : public Device {
 public:
  HostDevice(Target target, int num_threads) : target_(target), pool_(num_threads) {}

  Target target() const override { return target_; }
  std::string fingerprint() const override {
    if (target_ == Target::kReference) return "reference";
    return fmt::format(
        "cpu {} {} {} threads", cpu_info().model, cpu_info().isa(), pool_.num_threads());
  }
  Result<Memory> allocate(int64_t bytes) override { return map_memory(bytes); }
  Result<Memory> allocate_host(int64_t bytes) override { return map_memory(bytes); }
  int64_t free_bytes() const override { return available_host_bytes(); }
  int64_t total_bytes() const override { return all_host_bytes(); }
  bool host_accessible() const override { return true; }
  void copy_to_device(void* to, const void* from, int64_t bytes) override {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  void copy_to_host(void* to, const void* from, int64_t bytes) override {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  void fill_bytes(void* to, uint8_t value, int64_t bytes) override {
    std::memset(to, value, static_cast<size_t>(bytes));
  }
  Result<void> synchronize() override { return {}; }
  Result<std::unique_ptr<Event>> make_event() override {
    return std::unique_ptr<Event>(std::make_unique<HostEvent>());
  }
  Result<std::unique_ptr<Graph>> capture(const std::function<void()>&) override {
    return std::unique_ptr<Graph>();
  }
  Result<double> time_us(const std::function<void()>& work) override {
    auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
        .count();
  }
  base::ThreadPool& pool() override { return pool_; }

 private:
  Target target_;
  base::ThreadPool pool_;
};

}  // namespace

TargetChoice choose_target() {
  auto gpu = cuda::CudaDevice::usable(0);
  if (gpu.ok()) return {Target::kCuda, gpu->name};
  return {Target::kCpu, gpu.error().message};
}

Result<std::shared_ptr<Device>> open_device(Target target, int num_threads) {
  if (num_threads < 0 || num_threads > 4096)
    return base::invalid(fmt::format("{} threads: must be between 0 (all) and 4096", num_threads));
  switch (target) {
    case Target::kReference:
    case Target::kCpu:
      return std::shared_ptr<Device>(std::make_shared<HostDevice>(target, num_threads));
    case Target::kCuda: {
      TKM_ASSIGN(auto device, cuda::CudaDevice::open(0, num_threads));
      return std::shared_ptr<Device>(std::move(device));
    }
  }
  return base::invalid(fmt::format("target {} does not exist", static_cast<int>(target)));
}

}  // namespace tokamak::device
