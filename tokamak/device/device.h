// SPDX-License-Identifier: Apache-2.0
// What an engine runs on: memory, identity and the threads that drive it. A CUDA device adds
// streams behind the same interface.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

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

class Device {
 public:
  virtual ~Device() = default;
  virtual Target target() const = 0;
  /// What a tuned engine depends on: "cpu AMD EPYC avx512_bf16 2 threads".
  virtual std::string fingerprint() const = 0;
  /// Zero-filled, aligned to 64 bytes at least, huge pages where the system gives them. Errors:
  /// out_of_memory with the numbers.
  virtual Result<Memory> allocate(int64_t bytes) = 0;
  /// Bytes that an engine may use on this device now.
  virtual int64_t free_bytes() const = 0;
  /// Host threads for compute and for loading.
  virtual base::ThreadPool& pool() = 0;
};

/// num_threads 0 takes all processors of this process. The reference target always computes on one.
/// Errors: unsupported, for a target that this machine does not have, saying what is missing.
Result<std::shared_ptr<Device>> open_device(Target target, int num_threads = 0);

}  // namespace tokamak::device

namespace tokamak {
using device::Target;
}
