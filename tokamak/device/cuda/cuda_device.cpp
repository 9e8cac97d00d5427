// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/cuda/cuda_device.h"

#include <chrono>
#include <thread>

#include "tokamak/base/fields.h"
#include "tokamak/base/file.h"
#include "tokamak/base/log.h"
#include "tokamak/device/cuda/libraries.h"
#include "tokamak/device/cuda/module.h"

namespace tokamak::device::cuda {
namespace {

const abi::Driver& calls() {
  return *driver().value();
}

abi::DevicePointer pointer_of(const void* data) {
  return reinterpret_cast<abi::DevicePointer>(data);
}

Result<int> attribute(abi::DeviceHandle device, int which) {
  int value = 0;
  TKM_RETURN_IF_ERROR(
      check(calls().cuDeviceGetAttribute(&value, which, device), "cuDeviceGetAttribute"));
  return value;
}

/// Dense bf16 operations of a multiprocessor in a clock.
double tensor_flops(int compute_capability) {
  if (compute_capability >= 100 && compute_capability < 120) return 8192;
  if (compute_capability == 90) return 4096;
  return compute_capability == 80 ? 2048 : 1024;
}
constexpr int64_t kMostModules = 4096;  // That last_kernel() asks.
constexpr double kReachedShare = 0.75;  // Of the datasheet's; so it is on an H200.

Result<DeviceInfo> read_info(abi::DeviceHandle device) {
  DeviceInfo info;
  char name[256] = {};
  TKM_RETURN_IF_ERROR(
      check(calls().cuDeviceGetName(name, sizeof(name), device), "cuDeviceGetName"));
  info.name = name;
  TKM_ASSIGN(int major, attribute(device, abi::kComputeCapabilityMajor));
  TKM_ASSIGN(int minor, attribute(device, abi::kComputeCapabilityMinor));
  info.compute_capability = 10 * major + minor;
  TKM_ASSIGN(info.num_sms, attribute(device, abi::kMultiprocessorCount));
  TKM_ASSIGN(info.l2_bytes, attribute(device, abi::kL2CacheSize));
  TKM_ASSIGN(info.max_shared_bytes, attribute(device, abi::kMaxSharedPerBlockOptin));
  TKM_ASSIGN(info.shared_bytes_per_sm, attribute(device, abi::kMaxSharedPerMultiprocessor));
  size_t total = 0;
  TKM_RETURN_IF_ERROR(check(calls().cuDeviceTotalMem_v2(&total, device), "cuDeviceTotalMem"));
  info.total_bytes = static_cast<int64_t>(total);
  // The H200's rate was measured; of others we know the clock and the width of the bus, of which
  // reads reach some 93 %.
  if (info.name.find("H200") == std::string::npos) {
    TKM_ASSIGN(int khz, attribute(device, abi::kMemoryClockRateKhz));
    TKM_ASSIGN(int bits, attribute(device, abi::kMemoryBusWidth));
    info.read_bytes_per_second = 0.93 * 2.0 * 1000.0 * khz * bits / 8;
    TKM_ASSIGN(int clock_khz, attribute(device, abi::kClockRateKhz));
    double clocks = 1000.0 * clock_khz * info.num_sms;
    info.bf16_flops_per_second = kReachedShare * clocks * tensor_flops(info.compute_capability);
    info.f32_flops_per_second = kReachedShare * clocks * 256;
  }
  return info;
}

std::filesystem::path cubin_folder() {
  return base::cache_folder() / "cubins";
}

class CudaGraph : public Graph {
 public:
  CudaGraph(CudaDevice& device, abi::GraphExec exec) : device_(device), exec_(exec) {}
  ~CudaGraph() override {
    device_.make_current();
    calls().cuGraphExecDestroy(exec_);
  }
  void launch() override {
    device_.make_current();
    device_.note(calls().cuGraphLaunch(exec_, device_.stream()), "cuGraphLaunch");
  }

 private:
  CudaDevice& device_;
  abi::GraphExec exec_;
};

class CudaEvent : public Event {
 public:
  CudaEvent(CudaDevice& device, abi::Event event) : device_(device), event_(event) {}
  ~CudaEvent() override {
    if (!event_) return;
    device_.make_current();
    calls().cuEventDestroy_v2(event_);
  }
  void record() override {
    device_.make_current();
    device_.note(calls().cuEventRecord(event_, device_.stream()), "cuEventRecord");
  }
  Result<void> wait() override {
    device_.make_current();
    device_.note(calls().cuEventSynchronize(event_), "cuEventSynchronize");
    return device_.first_failure();
  }

 private:
  CudaDevice& device_;
  abi::Event event_;
};

}  // namespace

std::string DeviceInfo::architecture() const {
  return fmt::format("sm_{}{}", compute_capability, compute_capability >= 90 ? "a" : "");
}

Result<DeviceInfo> CudaDevice::usable(int ordinal) {
  TKM_ASSIGN(const abi::Driver* d, driver());
  int count = 0;
  TKM_RETURN_IF_ERROR(check(d->cuDeviceGetCount(&count), "cuDeviceGetCount"));
  if (ordinal < 0 || ordinal >= count)
    return base::unsupported(
        fmt::format("there is no GPU {}: this process sees {}", ordinal, count),
        "see whether nvidia-smi lists it and CUDA_VISIBLE_DEVICES allows it");
  abi::DeviceHandle handle = 0;
  TKM_RETURN_IF_ERROR(check(d->cuDeviceGet(&handle, ordinal), "cuDeviceGet"));
  TKM_ASSIGN(DeviceInfo info, read_info(handle));
  if (info.compute_capability >= 80) return info;
  return base::unsupported(
      fmt::format("{} is of compute capability {}.{}; our kernels need 8.0 (A100) or newer",
                  info.name,
                  info.compute_capability / 10,
                  info.compute_capability % 10),
      "use --target cpu");
}

Result<std::shared_ptr<CudaDevice>> CudaDevice::open(int ordinal, int num_threads) {
  TKM_ASSIGN(const DeviceInfo info, usable(ordinal));
  TKM_ASSIGN(const abi::Driver* d, driver());
  std::shared_ptr<CudaDevice> device(new CudaDevice(num_threads));
  device->info_ = info;
  TKM_RETURN_IF_ERROR(check(d->cuDeviceGet(&device->handle_, ordinal), "cuDeviceGet"));
  TKM_RETURN_IF_ERROR(check(d->cuDevicePrimaryCtxRetain(&device->context_, device->handle_),
                            "cuDevicePrimaryCtxRetain",
                            device->info_.name));
  device->make_current();
  TKM_RETURN_IF_ERROR(
      check(d->cuStreamCreate(&device->stream_, abi::kStreamNonBlocking), "cuStreamCreate"));
  TKM_RETURN_IF_ERROR(
      check(d->cuStreamCreate(&device->beside_, abi::kStreamNonBlocking), "cuStreamCreate"));
  TKM_ASSIGN(device->began_, device->allocate_host(8 * kMostModules));
  TKM_RETURN_IF_ERROR(check(d->cuEventCreate(&device->begin_, 0), "cuEventCreate"));
  TKM_RETURN_IF_ERROR(check(d->cuEventCreate(&device->end_, 0), "cuEventCreate"));
  return device;
}

std::shared_ptr<CudaDevice> CudaDevice::compile_only(const DeviceInfo& info, int num_threads) {
  std::shared_ptr<CudaDevice> device(new CudaDevice(num_threads));
  device->info_ = info;
  return device;
}

CudaDevice::~CudaDevice() {
  kept_modules_.clear();
  if (!context_) return;
  make_current();
  if (stream_) calls().cuStreamSynchronize(stream_);
  if (begin_) calls().cuEventDestroy_v2(begin_);
  if (end_) calls().cuEventDestroy_v2(end_);
  if (stream_) calls().cuStreamDestroy_v2(stream_);
  if (beside_) calls().cuStreamDestroy_v2(beside_);
  began_ = {};
  calls().cuDevicePrimaryCtxRelease_v2(handle_);
}

void CudaDevice::make_current() const {
  if (context_) calls().cuCtxSetCurrent(context_);
}

std::string CudaDevice::fingerprint() const {
  return fmt::format("cuda {} sm_{} {} SMs {:.1f} GiB",
                     info_.name,
                     info_.compute_capability,
                     info_.num_sms,
                     static_cast<double>(info_.total_bytes) / (int64_t{1} << 30));
}

Result<Memory> CudaDevice::allocate(int64_t bytes) {
  if (!can_run()) return Memory(nullptr, bytes, nullptr);
  make_current();
  abi::DevicePointer pointer = 0;
  auto size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  TKM_RETURN_IF_ERROR(
      check(calls().cuMemAlloc_v2(&pointer, size),
            "cuMemAlloc",
            fmt::format("{} bytes on {} with {} free", bytes, info_.name, free_bytes())));
  auto* data = reinterpret_cast<void*>(pointer);
  // The context is counted: memory may outlive the device object.
  abi::Context context = nullptr;
  calls().cuDevicePrimaryCtxRetain(&context, handle_);
  auto owner = std::shared_ptr<void>(data, [context, device = handle_](void* p) {
    calls().cuCtxSetCurrent(context);
    calls().cuMemFree_v2(pointer_of(p));
    calls().cuDevicePrimaryCtxRelease_v2(device);
  });
  fill_bytes(data, 0, bytes);
  return Memory(data, bytes, std::move(owner));
}

Result<Memory> CudaDevice::allocate_host(int64_t bytes) {
  if (!can_run()) return Memory(nullptr, bytes, nullptr);
  make_current();
  void* data = nullptr;
  TKM_RETURN_IF_ERROR(
      check(calls().cuMemHostAlloc(
                &data, static_cast<size_t>(std::max<int64_t>(bytes, 1)), abi::kHostPortable),
            "cuMemHostAlloc",
            fmt::format("{} bytes of pinned host memory", bytes)));
  auto owner = std::shared_ptr<void>(data, [](void* p) { calls().cuMemFreeHost(p); });
  return Memory(data, bytes, std::move(owner));
}

int64_t CudaDevice::free_bytes() const {
  if (!can_run()) return info_.total_bytes;
  make_current();
  size_t free = 0, total = 0;
  calls().cuMemGetInfo_v2(&free, &total);
  return static_cast<int64_t>(free);
}

void CudaDevice::copy_to_device(void* to, const void* from, int64_t bytes) {
  make_current();
  note(calls().cuMemcpyHtoDAsync_v2(pointer_of(to), from, static_cast<size_t>(bytes), stream_),
       "cuMemcpyHtoDAsync");
}
void CudaDevice::copy_to_host(void* to, const void* from, int64_t bytes) {
  make_current();
  note(calls().cuMemcpyDtoHAsync_v2(to, pointer_of(from), static_cast<size_t>(bytes), stream_),
       "cuMemcpyDtoHAsync");
}
void CudaDevice::fill_bytes(void* to, uint8_t value, int64_t bytes) {
  if (bytes == 0) return;
  make_current();
  note(calls().cuMemsetD8Async(pointer_of(to), value, static_cast<size_t>(bytes), stream_),
       "cuMemsetD8Async");
}

void CudaDevice::note(abi::Status status, const char* call, const std::string& what) {
  if (status == abi::kSuccess) return;
  std::lock_guard lock(failure_mutex_);
  if (!failure_) failure_ = driver_error(status, call, what);
}

Result<void> CudaDevice::first_failure() {
  std::lock_guard lock(failure_mutex_);
  if (!failure_) return {};
  Error error = *failure_;
  // A lost device stays lost: each later call says why.
  if (error.code != ErrorCode::kDevice) failure_.reset();
  return error;
}

Result<void> CudaDevice::synchronize() {
  make_current();
  note(calls().cuStreamSynchronize(stream_), "cuStreamSynchronize");
  return first_failure();
}

std::string CudaDevice::last_kernel() {
  std::unique_lock mine(began_mutex_, std::try_to_lock);
  std::unique_lock modules(modules_mutex_, std::try_to_lock);
  if (!can_run() || !mine || !modules) return {};
  make_current();
  // The copy engine works beside a kernel that hangs.
  auto* began = static_cast<volatile uint64_t*>(began_.data());
  std::vector<std::string> names;
  for (const auto& [key, weak] : modules_) {
    auto module = weak.lock();
    if (!module || !module->began_at || std::ssize(names) == kMostModules) continue;
    calls().cuMemcpyDtoHAsync_v2(
        const_cast<uint64_t*>(began + names.size()), module->began_at, sizeof(uint64_t), beside_);
    names.push_back(module->name);
  }
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (calls().cuStreamQuery(beside_) == abi::kNotReady) {
    if (std::chrono::steady_clock::now() > deadline) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  size_t last = 0;
  for (size_t i = 1; i < names.size(); ++i) {
    if (began[i] > began[last]) last = i;
  }
  return names.empty() || began[last] == 0 ? std::string() : names[last];
}

Result<std::unique_ptr<Event>> CudaDevice::make_event() {
  abi::Event event = nullptr;
  if (can_run()) {
    make_current();
    TKM_RETURN_IF_ERROR(
        check(calls().cuEventCreate(&event, abi::kEventWithoutTime), "cuEventCreate"));
  }
  return std::unique_ptr<Event>(std::make_unique<CudaEvent>(*this, event));
}

Result<std::unique_ptr<Graph>> CudaDevice::capture(const std::function<void()>& work) {
  TKM_RETURN_IF_ERROR(synchronize());
  TKM_RETURN_IF_ERROR(check(calls().cuStreamBeginCapture_v2(stream_, abi::kCaptureThreadLocal),
                            "cuStreamBeginCapture"));
  work();
  abi::Graph graph = nullptr;
  abi::Status ended = calls().cuStreamEndCapture(stream_, &graph);
  TKM_RETURN_IF_ERROR(first_failure());
  TKM_RETURN_IF_ERROR(check(ended, "cuStreamEndCapture"));
  abi::GraphExec exec = nullptr;
  abi::Status status = calls().cuGraphInstantiateWithFlags(&exec, graph, 0);
  calls().cuGraphDestroy(graph);
  TKM_RETURN_IF_ERROR(check(status, "cuGraphInstantiate"));
  auto out = std::make_unique<CudaGraph>(*this, exec);
  TKM_RETURN_IF_ERROR(check(calls().cuGraphUpload(exec, stream_), "cuGraphUpload"));
  return std::unique_ptr<Graph>(std::move(out));
}

Result<double> CudaDevice::time_us(const std::function<void()>& work) {
  make_current();
  note(calls().cuEventRecord(begin_, stream_), "cuEventRecord");
  work();
  note(calls().cuEventRecord(end_, stream_), "cuEventRecord");
  TKM_RETURN_IF_ERROR(synchronize());
  float milliseconds = 0;
  TKM_RETURN_IF_ERROR(
      check(calls().cuEventElapsedTime(&milliseconds, begin_, end_), "cuEventElapsedTime"));
  return milliseconds * 1000.0;
}

Result<Module> CudaDevice::load(KernelSource source) {
  source.options.insert(source.options.end(), test_options_.begin(), test_options_.end());
  source.allow_spills |= !test_options_.empty();
  std::string key = kernel_key(source, info_.architecture());
  KeyedMutex::Lock turn(loading_, key);
  Module module;
  bool recording = false;
  {
    std::lock_guard lock(modules_mutex_);
    if (auto it = modules_.find(key); it != modules_.end()) module.module_ = it->second.lock();
    recording = recorded_ && !recorded_->contains(key);
    if (module.module_ && !recording) return module;
  }
  TKM_ASSIGN(Cubin cubin, machine_code(source, key));
  if (recording) {
    std::lock_guard lock(modules_mutex_);
    if (recorded_)
      recorded_->insert_or_assign(key, KernelCode{source.name, key, encode_cubin(cubin)});
  }
  if (!module.module_) {
    TKM_ASSIGN(module.module_, load_cubin(source, std::move(cubin), key));
  }
  return module;
}

Result<Cubin> CudaDevice::machine_code(const KernelSource& source, const std::string& key) {
  std::shared_ptr<const KernelCode> offered;
  bool any_offered = false;
  {
    std::lock_guard lock(modules_mutex_);
    any_offered = !offered_.empty();
    if (auto it = offered_.find(key); it != offered_.end()) offered = it->second;
  }
  if (offered) {
    auto cubin = decode_cubin(offered->content, "the engine's kernel " + offered->name);
    if (cubin.ok() && cubin->lowered_names.size() == source.kernels.size()) return cubin;
    base::log_warn("the engine's kernel {} cannot be used and is made anew", offered->name);
  }
  if (any_offered && !offered)
    base::log_debug("the engine holds no kernel {} that fits this program", source.name);
  ++num_compiled_;
  auto cubin = compile(source, info_.architecture(), cubin_folder());
  if (cubin.ok() || !any_offered || nvrtc().ok()) return cubin;
  return base::unsupported(
      fmt::format(
          "kernel {}: the engine holds no machine code for {} that fits this program, and {}",
          source.name,
          info_.architecture(),
          nvrtc().error().message),
      "build the engine again with this program where NVRTC is, or install NVRTC here: " +
          nvrtc().error().hint);
}

void CudaDevice::offer_code(KernelCode code) {
  std::lock_guard lock(modules_mutex_);
  std::string key = code.key;
  offered_.insert_or_assign(std::move(key), std::make_shared<const KernelCode>(std::move(code)));
}

Result<std::vector<KernelCode>> CudaDevice::record_code(const std::function<Result<void>()>& work) {
  {
    std::lock_guard lock(modules_mutex_);
    TKM_CHECK(!recorded_, "two recordings of machine code at once");
    recorded_.emplace();
  }
  Result<void> done = work();
  std::lock_guard lock(modules_mutex_);
  std::map<std::string, KernelCode> recorded = *std::exchange(recorded_, std::nullopt);
  TKM_RETURN_IF_ERROR(done);
  std::vector<KernelCode> out;
  for (auto& [key, code] : recorded) out.push_back(std::move(code));
  return out;
}

Result<std::shared_ptr<LoadedModule>> CudaDevice::load_cubin(const KernelSource& source,
                                                             Cubin cubin,
                                                             const std::string& key) {
  std::lock_guard lock(modules_mutex_);
  auto out = std::make_shared<LoadedModule>(*this, source.name);
  if (can_run()) {
    make_current();
    TKM_RETURN_IF_ERROR(
        check(calls().cuLibraryLoadData(
                  &out->library, cubin.code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
              "cuLibraryLoadData",
              source.name));
  }
  if (size_t bytes = 0;
      can_run() && calls().cuLibraryGetGlobal(
                       &out->began_at, &bytes, out->library, "tkm_began_at") != abi::kSuccess)
    out->began_at = 0;
  for (const std::string& name : cubin.lowered_names) {
    LoadedModule::Entry entry;
    for (const KernelUsage& usage : cubin.log.kernels) {
      if (usage.kernel == name) entry.usage = usage;
    }
    if (can_run()) {
      abi::KernelHandle kernel = nullptr;
      TKM_RETURN_IF_ERROR(check(calls().cuLibraryGetKernel(&kernel, out->library, name.c_str()),
                                "cuLibraryGetKernel",
                                name));
      TKM_RETURN_IF_ERROR(
          check(calls().cuKernelGetFunction(&entry.handle, kernel), "cuKernelGetFunction", name));
      // Static memory is given in units of 128 bytes. Setting an attribute also loads the function,
      // which must not happen within a capture.
      int static_bytes = (entry.usage.shared_bytes + 127) / 128 * 128;
      TKM_RETURN_IF_ERROR(check(
          calls().cuFuncSetAttribute(
              entry.handle, abi::kMaxDynamicSharedBytes, info_.max_shared_bytes - static_bytes),
          "cuFuncSetAttribute",
          name));
      // All kernels divide a multiprocessor's memory alike: two that do not never share one.
      TKM_RETURN_IF_ERROR(
          check(calls().cuFuncSetAttribute(entry.handle, abi::kPreferredSharedCarveout, 100),
                "cuFuncSetAttribute",
                name));
    }
    out->entries.push_back(std::move(entry));
  }
  modules_[key] = out;
  if (source.keep_loaded) kept_modules_.push_back(out);
  return out;
}

Result<abi::TensorMap> CudaDevice::tensor_map(const TensorMapDesc& desc) const {
  size_t rank = desc.shape.size();
  if (rank < 1 || rank > 5 || desc.box.size() != rank || desc.strides.size() + 1 != rank)
    return base::internal_error(
        fmt::format("tensor map of {} dimensions, {} strides and {} box sizes",
                    rank,
                    desc.strides.size(),
                    desc.box.size()));
  uint64_t shape[5] = {}, strides[5] = {};
  unsigned box[5] = {}, ones[5] = {1, 1, 1, 1, 1};
  for (size_t i = 0; i < rank; ++i) {
    shape[i] = static_cast<uint64_t>(desc.shape[i]);
    box[i] = static_cast<unsigned>(desc.box[i]);
    if (i) strides[i - 1] = static_cast<uint64_t>(desc.strides[i - 1]);
  }
  int dtype = desc.dtype == DType::kF32    ? abi::kTensorMapFloat32
              : desc.dtype == DType::kBF16 ? abi::kTensorMapBfloat16
                                           : abi::kTensorMapUint8;
  int swizzle = desc.swizzle_bytes == 128  ? 3
                : desc.swizzle_bytes == 64 ? 2
                                           : desc.swizzle_bytes == 32;
  constexpr int kNoInterleave = 0, kPromote256 = 3, kFillZeros = 0;
  alignas(64) abi::TensorMap map{};  // The driver asks for this alignment.
  TKM_ASSIGN(const abi::Driver* d, driver());
  TKM_RETURN_IF_ERROR(check(d->cuTensorMapEncodeTiled(&map,
                                                      dtype,
                                                      static_cast<unsigned>(rank),
                                                      const_cast<void*>(desc.data),
                                                      shape,
                                                      strides,
                                                      box,
                                                      ones,
                                                      kNoInterleave,
                                                      swizzle,
                                                      kPromote256,
                                                      kFillZeros),
                            "cuTensorMapEncodeTiled"));
  return map;
}

CudaDevice& cuda_device(Device& device) {
  TKM_CHECK(device.target() == Target::kCuda, "a {} device", base::enum_name(device.target()));
  return static_cast<CudaDevice&>(device);
}
const CudaDevice& cuda_device(const Device& device) {
  return cuda_device(const_cast<Device&>(device));
}

}  // namespace tokamak::device::cuda
