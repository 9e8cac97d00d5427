// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/cuda/libraries.h"

#include <cstdlib>

#include <dlfcn.h>
#include <fmt/format.h>

namespace tokamak::device::cuda {
namespace {

constexpr const char* kToolkitFolders[] = {"/usr/local/cuda/lib64", "/usr/local/cuda/lib"};

/// The first of the candidates that opens: the file that `variable` names, the loader's own search,
/// the folders of a toolkit.
void* open_first(const char* variable, std::initializer_list<const char*> names) {
  if (const char* file = variable ? std::getenv(variable) : nullptr; file && *file)
    return ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
  for (const char* name : names) {
    if (void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  for (const char* folder : kToolkitFolders) {
    for (const char* name : names) {
      std::string path = fmt::format("{}/{}", folder, name);
      if (void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    }
  }
  return nullptr;
}

/// Where an opened library lies, for error messages.
std::string path_of(void* symbol) {
  Dl_info info{};
  return ::dladdr(symbol, &info) && info.dli_fname ? info.dli_fname : "the library";
}

template <typename Call>
void resolve(void* library, const char* name, Call& call, const char*& missing) {
  call = reinterpret_cast<Call>(::dlsym(library, name));
  if (!call) missing = name;
}

Result<abi::Driver> open_driver() {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return base::unsupported(
        "there is no NVIDIA driver on this machine: libcuda.so.1 cannot be opened",
        "install the driver, start the container with --gpus all, or use --target cpu");
  abi::Driver calls;
  const char* missing = nullptr;
#define TKM_RESOLVE(name, parameters) resolve(library, #name, calls.name, missing);
  TKM_CUDA_DRIVER_CALLS(TKM_RESOLVE)
#undef TKM_RESOLVE
  if (missing)
    return base::unsupported(
        fmt::format("the NVIDIA driver is too old: it has no {}; CUDA {} is needed",
                    missing,
                    version_text(kMinDriverVersion)),
        "install a newer driver, or use --target cpu");
  int version = 0;
  if (calls.cuDriverGetVersion(&version) == abi::kSuccess && version < kMinDriverVersion)
    return base::unsupported(fmt::format("the NVIDIA driver runs CUDA {}, needed is {} or newer",
                                         version_text(version),
                                         version_text(kMinDriverVersion)),
                             "install a newer driver, or use --target cpu");
  if (abi::Status status = calls.cuInit(0); status != abi::kSuccess) {
    const char* text = "no reason given";
    calls.cuGetErrorString(status, &text);
    return base::unsupported(
        fmt::format("there is no NVIDIA GPU that this process may use: cuInit: {}", text),
        "see whether nvidia-smi lists one and CUDA_VISIBLE_DEVICES allows it, or use --target cpu");
  }
  return calls;
}

Result<abi::Nvrtc> open_nvrtc() {
  void* library = open_first("TOKAMAK_NVRTC", {"libnvrtc.so.13", "libnvrtc.so.12"});
  if (!library) {
    const char* file = std::getenv("TOKAMAK_NVRTC");
    return base::unsupported(
        fmt::format("NVRTC, the compiler of GPU kernels, is not here: {} cannot be opened",
                    file && *file ? file : "libnvrtc.so.13 or .12"),
        "install CUDA's libnvrtc (apt: cuda-nvrtc; pip: nvidia-cuda-nvrtc) and put its folder on "
        "LD_LIBRARY_PATH, or name the file in TOKAMAK_NVRTC");
  }
  abi::Nvrtc calls;
  const char* missing = nullptr;
#define TKM_RESOLVE(name, parameters) resolve(library, #name, calls.name, missing);
  TKM_NVRTC_CALLS(TKM_RESOLVE)
#undef TKM_RESOLVE
  resolve(library, "nvrtcGetErrorString", calls.nvrtcGetErrorString, missing);
  if (missing)
    return base::unsupported(
        fmt::format("{} has no {}", calls.nvrtcVersion ? path_of(library) : "libnvrtc", missing),
        fmt::format("install NVRTC of CUDA {} or newer", version_text(kMinNvrtcVersion)));
  int major = 0, minor = 0;
  calls.nvrtcVersion(&major, &minor);
  if (major * 1000 + minor * 10 < kMinNvrtcVersion)
    return base::unsupported(fmt::format("{} is NVRTC {}.{}, needed is {} or newer",
                                         path_of(reinterpret_cast<void*>(calls.nvrtcVersion)),
                                         major,
                                         minor,
                                         version_text(kMinNvrtcVersion)));
  return calls;
}

Result<abi::CublasLt> open_cublas_lt() {
  void* library = open_first("TOKAMAK_CUBLASLT", {"libcublasLt.so.13", "libcublasLt.so.12"});
  if (!library)
    return base::unsupported(
        "cuBLASLt is not here: libcublasLt.so.13 or .12 cannot be opened",
        "install CUDA's libcublas (apt: libcublas; pip: nvidia-cublas) and put its folder on "
        "LD_LIBRARY_PATH, or name the file in TOKAMAK_CUBLASLT; without it long prompts are "
        "slower");
  abi::CublasLt calls;
  const char* missing = nullptr;
#define TKM_RESOLVE(name, parameters) resolve(library, #name, calls.name, missing);
  TKM_CUBLASLT_CALLS(TKM_RESOLVE)
#undef TKM_RESOLVE
  resolve(library, "cublasLtGetVersion", calls.cublasLtGetVersion, missing);
  if (missing) return base::unsupported(fmt::format("libcublasLt has no {}", missing));
  return calls;
}

template <typename Calls>
Result<const Calls*> once(const Result<Calls>& opened) {
  if (!opened.ok()) return opened.error();
  return &*opened;
}

}  // namespace

Result<const abi::Driver*> driver() {
  static const Result<abi::Driver> opened = open_driver();
  return once(opened);
}
Result<const abi::Nvrtc*> nvrtc() {
  static const Result<abi::Nvrtc> opened = open_nvrtc();
  return once(opened);
}
Result<const abi::CublasLt*> cublas_lt() {
  static const Result<abi::CublasLt> opened = open_cublas_lt();
  return once(opened);
}

int driver_version() {
  int version = 0;
  if (auto calls = driver(); calls.ok()) (*calls)->cuDriverGetVersion(&version);
  return version;
}
int nvrtc_version() {
  int major = 0, minor = 0;
  if (auto calls = nvrtc(); calls.ok()) (*calls)->nvrtcVersion(&major, &minor);
  return major * 1000 + minor * 10;
}
std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

bool is_lost(abi::Status status) {
  switch (status) {
    case abi::kDeinitialized:
    case abi::kDeviceUnavailable:
    case abi::kEccUncorrectable:
    case abi::kNvlinkUncorrectable:
    case abi::kContained:
    case abi::kLaunchTimeout:
    case abi::kContextIsDestroyed:
    case abi::kAssert:
    case abi::kLaunchFailed:
    case abi::kExternalDevice:
    case abi::kUnknown:
      return true;
    default:
      return status == abi::kIllegalAddress ||
             (status >= abi::kHardwareStackError && status <= abi::kInvalidPc);
  }
}

Error driver_error(abi::Status status, const char* call, const std::string& what) {
  const char *name = "an unknown error", *text = "";
  if (auto calls = driver(); calls.ok()) {
    (*calls)->cuGetErrorName(status, &name);
    (*calls)->cuGetErrorString(status, &text);
  }
  std::string message = fmt::format("{}{}{}: {} ({}, code {})",
                                    what,
                                    what.empty() ? "" : ": ",
                                    call,
                                    text ? text : "",
                                    name ? name : "unknown",
                                    status);
  if (is_lost(status))
    return {ErrorCode::kDevice,
            "the GPU is lost for this process: " + message,
            "see `dmesg | grep Xid` for the cause, and start the process again"};
  if (status == abi::kOutOfMemory) return base::out_of_memory(std::move(message));
  return base::internal_error(std::move(message));
}

Result<void> check(abi::Status status, const char* call, const std::string& what) {
  if (status == abi::kSuccess) return {};
  return driver_error(status, call, what);
}

}  // namespace tokamak::device::cuda
