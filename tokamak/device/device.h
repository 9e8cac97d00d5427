// SPDX-License-Identifier: Apache-2.0
// What an engine runs on: memory, copies, identity and the threads that drive it. Kernels and
// copies of one device run in the order of their calls; on a GPU they return before they are done,
// and failures show in the next synchronize() or Event::wait().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/thread_pool.h"
#include "tokamak/tensor/tensor.h"

namespace tokamak::device {

enum class Target {
  kReference,  ///< fp32 arithmetic of op/, one thread: the oracle.
  kCpu,
  kCuda,
};
constexpr auto enum_names(Target) {
  return std::array<std::string_view, 3>{"reference", "cpu", "cuda"};
}

/// Device memory that is freed with the object.
class Memory {
 public:
  Memory() = default;
  Memory(void* data, int64_t bytes, std::shared_ptr<void> owner)
      : data_(data), bytes_(bytes), owner_(std::move(owner)) {}
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  std::shared_ptr<void> owner_;
};

/// Kernels and copies recorded once and launched together.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void launch() = 0;
};

/// Machine code that a device made of one kernel's source.
struct KernelCode {
  std::string name;     ///< The kernel's, for people.
  std::string key;      ///< Names source, options and architecture; what asks for it says the same.
  std::string content;  ///< The device's to read.
};

/// A place in the order of kernels and copies.
class Event {
 public:
  virtual ~Event() = default;
  /// The place is here, behind all calls so far.
  virtual void record() = 0;
  /// Waits until the device has come to the place that was recorded last; not for what was called
  /// since. Errors: as Device::synchronize().
  virtual Result<void> wait() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual Target target() const = 0;
  /// What a tuned engine depends on: "cpu AMD EPYC avx512_bf16 2 threads".
  virtual std::string fingerprint() const = 0;
  /// Zero-filled, aligned to 64 bytes at least, huge pages where the system gives them. Errors:
  /// out_of_memory with the numbers.
  virtual Result<Memory> allocate(int64_t bytes) = 0;
  /// Host memory that copies may read or write while the host goes on; aligned like allocate()'s.
  virtual Result<Memory> allocate_host(int64_t bytes) = 0;
  /// Bytes that an engine may use on this device now, and that it has in all.
  virtual int64_t free_bytes() const = 0;
  virtual int64_t total_bytes() const = 0;
  /// Rate at which large reads stream from its memory, bytes a second, as measured on such devices
  /// or else by their datasheet; 0: nobody knows before measuring.
  virtual double read_bandwidth() const { return 0; }
  /// Operations a second that large matrix products of this dtype reach, as measured on such
  /// devices or else estimated by their datasheet; 0: nobody knows before measuring.
  virtual double peak_flops(DType /*dtype*/) const { return 0; }
  /// Kernels can be launched; else the device only knows what they would be.
  virtual bool can_run() const { return true; }
  /// The host reads and writes the device's memory by its addresses.
  virtual bool host_accessible() const = 0;

  /// The host's side must be left alone until synchronize(); from allocate_host() the call returns
  /// at once.
  virtual void copy_to_device(void* to, const void* from, int64_t bytes) = 0;
  virtual void copy_to_host(void* to, const void* from, int64_t bytes) = 0;
  virtual void fill_bytes(void* to, uint8_t value, int64_t bytes) = 0;
  /// Waits until everything is done. Errors: the first failure since the last call; device, where
  /// the device is lost for this process.
  virtual Result<void> synchronize() = 0;
  /// The kernel that went to work last, for people who ask why a device does not come back; empty
  /// where nobody knows. Any thread, also while others wait for the device; returns within a
  /// second.
  virtual std::string last_kernel() { return {}; }
  /// Outlived by the device.
  virtual Result<std::unique_ptr<Event>> make_event() = 0;
  /// Records what `work` calls, without running it; null on targets where launching again costs as
  /// much. Everything that `work` uses must have run before, and keep its address.
  virtual Result<std::unique_ptr<Graph>> capture(const std::function<void()>& work) = 0;
  /// Microseconds that the device takes for what `work` calls.
  virtual Result<double> time_us(const std::function<void()>& work) = 0;
  /// Machine code that kernels are loaded from before anything is compiled. Nothing on devices
  /// whose kernels are part of the program.
  virtual void offer_code(KernelCode /*code*/) {}
  /// Runs `work` and returns the machine code of all kernels that it made, by key; nothing is run
  /// and returned on devices whose kernels are part of the program. Errors: those of `work`.
  virtual Result<std::vector<KernelCode>> record_code(
      const std::function<Result<void>()>& /*work*/) {
    return std::vector<KernelCode>();
  }
  /// Host threads for compute and for loading.
  virtual base::ThreadPool& pool() = 0;
};

/// num_threads 0 takes all processors of this process. The reference target always computes on one.
/// Errors: unsupported, for a target that this machine does not have, saying what is missing.
Result<std::shared_ptr<Device>> open_device(Target target, int num_threads = 0);

/// A target, and in a clause what speaks for it.
struct TargetChoice {
  Target target = Target::kCpu;
  std::string why;
};
/// A GPU if this machine has one that we can use, else the CPU, and why not the GPU.
TargetChoice choose_target();

}  // namespace tokamak::device

namespace tokamak {
using device::Target;
}
