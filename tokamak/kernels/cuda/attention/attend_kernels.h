// SPDX-License-Identifier: Apache-2.0
// The halves of attention on the device, as the tactics put them together.
#pragma once

#include <map>

#include "tokamak/kernels/cuda/device_code.h"
#include "tokamak/op/attention.h"

namespace tokamak::kernels::cuda {

constexpr int64_t kMaxDecodes = 256;  ///< Rows; candidates for larger steps are of prompts.

/// What is asked of attend and attention alike.
struct AttendProblem {
  op::AttentionSettings settings;
  DType x = DType::kBF16;
  bool append = false;  ///< k and v come with the call (op::Attention).

  int64_t group() const { return settings.num_heads / settings.num_kv_heads; }
  /// Rows of heads that one product takes.
  int64_t row_blocks() const { return ceil_div(group(), 16); }
  /// tkm::AttendConfig
  std::string config(int64_t stages, int64_t warps) const;
};
/// Null if `desc` is neither op.
std::optional<AttendProblem> attend_problem(const KernelDesc& desc);

/// tkm::AttendParams
struct AttendParams {
  float scale, softcap;
  int32_t window;
};

inline AttendParams attend_params(const op::AttentionSettings& settings) {
  int64_t window = std::min<int64_t>(settings.window, std::numeric_limits<int32_t>::max());
  return {settings.scale, settings.softcap, static_cast<int32_t>(window)};
}

/// attend_plain: any types, any head_dim.
class PlainAttend {
 public:
  PlainAttend(device::Device& device, const AttendProblem& problem)
      : device_(device), problem_(problem) {}
  /// The kernel for a cache of this type.
  Result<void> load(DType kv);
  void run(const Launch& launch, const op::KvCache& cache);

 private:
  device::Device& device_;
  AttendProblem problem_;
  std::map<DType, Function> functions_;
};

/// attend_wgmma: sequences with more than one row, a bf16 cache, sm_90a.
class WgmmaAttend {
 public:
  struct Config {
    int64_t tokens = 128;    ///< Of a block of keys or values.
    int64_t stages = 2;      ///< Blocks of each in shared memory.
    int64_t groups = 2;      ///< Warpgroups that multiply, 64 packed rows each.
    bool turns = false;      ///< They take turns to issue products.
    bool persistent = true;  ///< One thread block a multiprocessor instead of one a tile.

    int64_t shared_bytes(int64_t head_dim) const;
    bool valid(const AttendProblem& problem, const device::cuda::DeviceInfo& info) const;
  };
  static bool claims(const AttendProblem& problem, const device::cuda::DeviceInfo& info);

  WgmmaAttend(device::Device& device, const AttendProblem& problem)
      : device_(device::cuda::cuda_device(device)), problem_(problem) {}
  Result<void> load(const Config& config);
  void run(const Launch& launch, const op::KvCache& cache) const;

 private:
  CudaDevice& device_;
  AttendProblem problem_;
  Config config_;
  Function function_;
};

/// append: k and v of op::Attention to the cache.
class Append {
 public:
  Append(device::Device& device, const AttendProblem& problem)
      : device_(device), problem_(problem) {}
  Result<void> load(DType kv);
  void run(const Launch& launch, const op::KvCache& cache);

 private:
  device::Device& device_;
  AttendProblem problem_;
  std::map<DType, Function> functions_;
};

}  // namespace tokamak::kernels::cuda
