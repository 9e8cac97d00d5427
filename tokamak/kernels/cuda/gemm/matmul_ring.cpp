// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_ring, norm_matmul_cuda_ring: up to 8 tokens, at the speed of memory. More tokens are
// right too, 8 at a time. norm_matmul_cuda_halves: the norm, then any matmul tactic.
#include "tokamak/kernels/cuda/gemm/matmul_problem.h"
#include "tokamak/kernels/cuda/pair.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kWarps = 8, kThreads = (kWarps + 2) * 32;
constexpr int64_t kMaxTokens = 8;
constexpr int64_t kMaxNormDepth = 16384;  ///< Whose weights fit the registers.

/// A matmul and the norm before it, if there is one.
struct RingProblem : MatMulProblem {
  std::optional<op::NormMatMul> norm;
  DType norm_dtype = DType::kBF16;
};

/// The halves of a norm_matmul.
Halves halves_of(const KernelDesc& desc) {
  const auto& op = *desc.op.as<op::NormMatMul>();
  size_t norm = desc.inputs.size() - 1;
  std::vector<size_t> rest;
  for (size_t i = 1; i < norm; ++i) rest.push_back(i);
  return split_op(desc, op.norm(), {0, norm}, static_cast<const op::MatMul&>(op), rest);
}

std::optional<RingProblem> ring_problem(const KernelDesc& desc) {
  const auto* norm = desc.op.as<op::NormMatMul>();
  if (!norm) {
    auto plain = matmul_problem(desc);
    return plain ? std::optional(RingProblem{*plain}) : std::nullopt;
  }
  if (!all_supported(desc)) return std::nullopt;
  auto plain = matmul_problem(halves_of(desc).second);
  if (!plain || plain->depth > kMaxNormDepth) return std::nullopt;
  return RingProblem{*plain, *norm, desc.inputs.back().dtype};
}

struct RingConfig {
  int64_t chunk = 1024;  ///< Columns of a stage.
  int64_t stages = 3;
  int64_t tokens = kMaxTokens;
  static constexpr auto kFields = std::tuple{Field{"chunk", &RingConfig::chunk},
                                             Field{"stages", &RingConfig::stages},
                                             Field{"tokens", &RingConfig::tokens}};

  /// sizeof(tkm::RingShared).
  int64_t shared_bytes(const RingProblem& p) const {
    int64_t ring = stages * 16 * chunk * 2, x = tokens * (p.depth * 2 + 16),
            sums = 2 * kWarps * 32 * 16, squares = (p.norm ? tokens : 1) * kWarps * 4,
            barriers = (2 * stages + 5) * 8;
    return round_up(ring + x + sums + squares + barriers, 1024);
  }
  bool valid(const RingProblem& p, const device::cuda::DeviceInfo& info) const {
    bool sane = chunk > 0 && chunk % 512 == 0 && chunk <= 4096 && stages >= 2 && stages <= 16 &&
                (tokens & (tokens - 1)) == 0 && tokens >= 1 && tokens <= kMaxTokens;
    return sane && shared_bytes(p) <= info.max_shared_bytes;
  }
};

bool claims(const RingProblem& p, const device::cuda::DeviceInfo& info) {
  return info.compute_capability >= 90 && p.streams() && p.depth % 64 == 0 &&
         (!p.op.gated || p.columns() % 8 == 0);
}

class RingMatMul : public Kernel {
 public:
  RingMatMul(const RingProblem& problem, const RingConfig& config)
      : problem_(problem), config_(config) {}

  Result<void> load(device::Device& device) {
    std::string config = construct("RingConfig",
                                   problem_.text(),
                                   config_.chunk,
                                   config_.stages,
                                   config_.tokens,
                                   problem_.norm.has_value(),
                                   problem_.norm && problem_.norm->unit_offset);
    std::string kernel = instantiate("matmul_ring",
                                     config,
                                     device_type(problem_.norm_dtype),
                                     device_type(problem_.bias),
                                     device_type(problem_.y));
    TKM_ASSIGN(function_, load_function(device, "gemm/matmul_ring.cuh", kernel));
    cuda_device_ = &device::cuda::cuda_device(device);
    int64_t sms = cuda_device_->info().num_sms;
    blocks_ = std::min(sms, tiles());
    return {};
  }

  void run(const Launch& launch) override {
    auto w_map = cuda_device_->tensor_map(weight_map(launch.inputs[1].data));
    TKM_CHECK(w_map.ok(), "matmul_cuda_ring: {}", w_map.error().text());
    int64_t tokens = launch.inputs[0].rows();
    for (int64_t first = 0; first < tokens; first += config_.tokens) {
      function_.launch(
          {.grid = {grid_size(blocks_)},
           .block = {grid_size(kThreads)},
           .shared_bytes = grid_size(config_.shared_bytes(problem_)),
           .dependent = true},
          matmul_args(problem_, launch, first, std::min(config_.tokens, tokens - first)),
          *w_map,
          problem_.norm ? launch.inputs.back().data : nullptr,
          problem_.norm ? problem_.norm->eps : 0.0f);
    }
  }

 private:
  int64_t tiles() const { return ceil_div(problem_.outputs, 16); }

  /// Of w: boxes of 16 rows by slabs of 64 columns; if gated, 8 rows of each half.
  device::cuda::TensorMapDesc weight_map(const void* w) const {
    int64_t row = problem_.depth * 2, slabs = problem_.depth / 64, width = config_.chunk / 64;
    if (!problem_.op.gated) {
      return {.data = w,
              .shape = {64, problem_.outputs, slabs},
              .strides = {row, 128},
              .box = {64, 16, width}};
    }
    return {.data = w,
            .shape = {64, problem_.columns(), 2, slabs},
            .strides = {row, problem_.columns() * row, 128},
            .box = {64, 8, 2, width}};
  }

  RingProblem problem_;
  RingConfig config_;
  CudaDevice* cuda_device_ = nullptr;
  Function function_;
  int64_t blocks_ = 0;
};

/// Best guess first, by whole decode steps: a ring that has a multiprocessor to itself. Rings of 96
/// KiB are left out: as fast alone, they cost steps up to a tenth. valid() sorts out what does not
/// fit.
std::vector<RingConfig> choices(int64_t tokens) {
  int64_t width = tokens <= 1 ? 1 : tokens <= 2 ? 2 : tokens <= 4 ? 4 : 8;
  std::vector<RingConfig> configs;
  for (auto [chunk, stages] : {std::pair{1024, 4}, {1024, 2}, {512, 5}})
    configs.push_back({.chunk = chunk, .stages = stages, .tokens = width});
  return configs;
}

std::vector<Json> ring_candidates(const KernelDesc& desc,
                                  int64_t tokens,
                                  const device::Device& device) {
  const auto& info = device::cuda::cuda_device(device).info();
  std::vector<Json> out;
  auto problem = ring_problem(desc);
  if (!problem || !claims(*problem, info) || tokens > kMaxTokens) return out;
  for (const RingConfig& config : choices(tokens)) {
    if (config.valid(*problem, info)) out.push_back(base::fields_to_json(config, /*all=*/true));
  }
  return out;
}

Made make_ring(const KernelDesc& desc, const Json& json, device::Device& device) {
  TKM_ASSIGN(auto config, base::fields_from_json<RingConfig>(json));
  auto problem = ring_problem(desc);
  const auto& info = device::cuda::cuda_device(device).info();
  if (!problem || !claims(*problem, info) || !config.valid(*problem, info))
    return base::invalid("matmul_cuda_ring: no such config: " + json.dump());
  auto kernel = std::make_unique<RingMatMul>(*problem, config);
  TKM_RETURN_IF_ERROR(kernel->load(device));
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace

const Tactic& matmul_cuda_ring() {
  static const Tactic tactic = {
      .name = "matmul_cuda_ring",
      .version = 2,
      .target = Target::kCuda,
      .candidates = [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
        return desc.op.as<op::MatMul>() ? ring_candidates(desc, tokens, device)
                                        : std::vector<Json>();
      },
      .make = make_ring};
  return tactic;
}

const Tactic& norm_matmul_cuda_ring() {
  static const Tactic tactic = {
      .name = "norm_matmul_cuda_ring",
      .target = Target::kCuda,
      .candidates = [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
        return desc.op.as<op::NormMatMul>() ? ring_candidates(desc, tokens, device)
                                            : std::vector<Json>();
      },
      .make = make_ring};
  return tactic;
}

const Tactic& norm_matmul_cuda_halves() {
  static const Tactic tactic = {
      .name = "norm_matmul_cuda_halves",
      .target = Target::kCuda,
      .candidates = [](const KernelDesc& desc, int64_t tokens, const device::Device& device)
          -> std::vector<Json> {
        if (!desc.op.as<op::NormMatMul>() || !all_supported(desc)) return {};
        return half_candidates(halves_of(desc).second, tokens, device);
      },
      .make = [](const KernelDesc& desc, const Json& config, device::Device& device) {
        return make_pair(halves_of(desc), config, device);
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
