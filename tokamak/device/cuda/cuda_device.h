// SPDX-License-Identifier: Apache-2.0
// One NVIDIA GPU and what host twins of kernels need of it: modules, launches, its properties.
//
//   TKM_ASSIGN(cuda::Module module, cuda::cuda_device(device).load({.name = "add_cuda_rows",
//       .text = "#include \"elementwise/add_cuda_rows.cuh\"\n",
//       .kernels = {"tkm::add_rows<tkm::bf16, 8>"}, .headers = kernels::cuda::sources()}));
//   cuda::Function add = module.at(0);
//   …
//   add.launch({.grid = {rows}, .block = {256}}, a, b, out, columns);
//
// A launch goes to the device's one compute stream and returns at once. Its failure does not return
// to the caller: the device keeps the first one and reports it from synchronize().
#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "tokamak/device/cuda/abi.h"
#include "tokamak/device/cuda/compile.h"
#include "tokamak/device/cuda/keyed_mutex.h"
#include "tokamak/device/device.h"

namespace tokamak::device::cuda {

class CudaDevice;

/// What candidates depend on.
struct DeviceInfo {
  std::string name = "NVIDIA H200";
  int compute_capability = 90;  ///< 10 * major + minor.
  int num_sms = 132;
  int64_t total_bytes = int64_t{139} << 30;
  int64_t l2_bytes = 60 << 20;
  int max_shared_bytes = 232448;     ///< Of one thread block.
  int shared_bytes_per_sm = 233472;  ///< Of all blocks on a multiprocessor, 1 KiB each reserved.
  double read_bytes_per_second = 4.63e12;  ///< Measured where we know the device, else datasheet.
  double bf16_flops_per_second = 740e12;   ///< Of matrix products, likewise.
  double f32_flops_per_second = 60e12;
  /// "sm_90a": with the instructions of this very generation where there are any.
  std::string architecture() const;
};

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

struct LaunchShape {
  Dim3 grid, block;
  unsigned shared_bytes = 0;  ///< Dynamic; up to DeviceInfo::max_shared_bytes needs no other call.
  Dim3 cluster = {};
  /// The kernel may start while its predecessors run, and calls tkm::wait_for_predecessors() before
  /// it touches what they write (programmatic dependent launch; ignored before sm_90).
  bool dependent = false;
};

/// A kernel that can be launched. Copies share the loaded module.
class Function {
 public:
  Function() = default;
  /// Arguments by value, exactly of the kernel's parameter types.
  template <typename... Arguments>
  void launch(const LaunchShape& shape, const Arguments&... arguments) const {
    const void* addresses[] = {&arguments..., nullptr};
    launch_with(shape, const_cast<void**>(addresses));
  }
  /// Blocks of this shape that are resident on one multiprocessor together; 0: it does not fit.
  int blocks_per_sm(int threads, int shared_bytes) const;
  /// Clusters of this shape that are resident on the device together; 0: it does not fit.
  int clusters_at_once(const LaunchShape& shape) const;
  const KernelUsage& usage() const;

 private:
  friend class Module;
  void launch_with(const LaunchShape& shape, void** arguments) const;
  std::shared_ptr<struct LoadedModule> module_;
  size_t index_ = 0;
};

/// Compiled and, if the device can run, loaded.
class Module {
 public:
  Module() = default;
  /// The kernel of KernelSource::kernels[index].
  Function at(size_t index) const;

 private:
  friend class CudaDevice;
  std::shared_ptr<struct LoadedModule> module_;
};

/// A 2-D to 5-D view for the tensor copy engine, innermost dimension first.
struct TensorMapDesc {
  DType dtype = DType::kBF16;
  const void* data = nullptr;    ///< Aligned to 16 bytes.
  std::vector<int64_t> shape;    ///< In elements.
  std::vector<int64_t> strides;  ///< In bytes, of dimensions 1…; multiples of 16.
  std::vector<int64_t> box;      ///< At most 256 each.
  int swizzle_bytes = 128;       ///< 0, 32, 64 or 128; not less than the inner box.
};

class CudaDevice : public Device {
 public:
  /// What the GPU of this ordinal is, if we can use it. Errors: unsupported, saying what is
  /// missing.
  static Result<DeviceInfo> usable(int ordinal);
  /// The GPU of this ordinal. Errors: those of usable().
  static Result<std::shared_ptr<CudaDevice>> open(int ordinal, int num_threads);
  /// No GPU, only its properties: compiles what such a device would run; its memory has no bytes
  /// and a launch is a programming error. For building engines and for checking kernels on machines
  /// without a GPU.
  static std::shared_ptr<CudaDevice> compile_only(const DeviceInfo& info, int num_threads);
  ~CudaDevice() override;

  const DeviceInfo& info() const { return info_; }
  /// False for compile_only().
  bool can_run() const override { return context_ != nullptr; }

  /// Loads machine code that was offered for the source, else compiles it (or takes it from the
  /// cache). The same source is loaded once; who asks for it meanwhile waits. Any thread, also
  /// several at a time. Errors: those of compile(), device, out_of_memory.
  Result<Module> load(KernelSource source);
  /// For tests: an option for everything that is compiled from here on. Registers that it costs may
  /// go to memory.
  void add_test_option(std::string option) { test_options_.push_back(std::move(option)); }
  /// Sources for which nothing was offered, so that load() asked compile().
  int64_t num_compiled() const { return num_compiled_; }
  Result<abi::TensorMap> tensor_map(const TensorMapDesc& desc) const;
  abi::Stream stream() const { return stream_; }
  /// Keeps the first failure for synchronize().
  void note(abi::Status status, const char* call, const std::string& what = {});
  void make_current() const;

  Target target() const override { return Target::kCuda; }
  std::string fingerprint() const override;
  Result<Memory> allocate(int64_t bytes) override;
  Result<Memory> allocate_host(int64_t bytes) override;
  int64_t free_bytes() const override;
  int64_t total_bytes() const override { return info_.total_bytes; }
  double read_bandwidth() const override { return info_.read_bytes_per_second; }
  double peak_flops(DType dtype) const override {
    return dtype == DType::kF32 ? info_.f32_flops_per_second : info_.bf16_flops_per_second;
  }
  bool host_accessible() const override { return false; }
  void copy_to_device(void* to, const void* from, int64_t bytes) override;
  void copy_to_host(void* to, const void* from, int64_t bytes) override;
  void fill_bytes(void* to, uint8_t value, int64_t bytes) override;
  Result<void> synchronize() override;
  std::string last_kernel() override;
  Result<std::unique_ptr<Event>> make_event() override;
  /// The first failure since the last report, which this is.
  Result<void> first_failure();
  Result<std::unique_ptr<Graph>> capture(const std::function<void()>& work) override;
  Result<double> time_us(const std::function<void()>& work) override;
  void offer_code(KernelCode code) override;
  Result<std::vector<KernelCode>> record_code(const std::function<Result<void>()>& work) override;
  base::ThreadPool& pool() override { return pool_; }

 private:
  explicit CudaDevice(int num_threads) : pool_(num_threads) {}
  Result<Cubin> machine_code(const KernelSource& source, const std::string& key);
  Result<std::shared_ptr<struct LoadedModule>> load_cubin(const KernelSource& source,
                                                          Cubin cubin,
                                                          const std::string& key);

  DeviceInfo info_;
  std::vector<std::string> test_options_;
  abi::DeviceHandle handle_ = 0;
  abi::Context context_ = nullptr;
  abi::Stream stream_ = nullptr;
  abi::Event begin_ = nullptr, end_ = nullptr;
  // Of last_kernel(): whoever asks the driver for such things waits for all kernels.
  abi::Stream beside_ = nullptr;
  Memory began_;
  std::mutex began_mutex_;
  base::ThreadPool pool_;
  KeyedMutex loading_;  ///< By kernel_key().
  std::mutex modules_mutex_;
  std::map<std::string, std::weak_ptr<struct LoadedModule>> modules_;
  std::vector<std::shared_ptr<struct LoadedModule>> kept_modules_;
  std::map<std::string, std::shared_ptr<const KernelCode>> offered_;  ///< By key.
  std::optional<std::map<std::string, KernelCode>> recorded_;         ///< By key; while recording.
  std::atomic<int64_t> num_compiled_ = 0;
  std::mutex failure_mutex_;
  std::optional<Error> failure_;
};

/// `device` as what it is. A programming error for one of another target.
CudaDevice& cuda_device(Device& device);
const CudaDevice& cuda_device(const Device& device);

}  // namespace tokamak::device::cuda
