// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_ring: up to 8 tokens, at the speed of memory. More tokens are right too, 8 at a time.
#include "tokamak/kernels/cuda/gemm/matmul_problem.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kWarps = 8, kThreads = (kWarps + 2) * 32;
constexpr int64_t kMaxTokens = 8;
constexpr int64_t kRegisterDepth = 4096;  ///< Columns of x that fit the consumers' registers.

struct RingConfig {
  int64_t chunk = 1024;  ///< Columns of a stage.
  int64_t stages = 3;
  int64_t slices = 1;  ///< Of the depth, over blocks.
  int64_t tokens = kMaxTokens;
  bool x_shared = false;  ///< x in shared memory, else in registers.
  static constexpr auto kFields = std::tuple{Field{"chunk", &RingConfig::chunk},
                                             Field{"stages", &RingConfig::stages},
                                             Field{"slices", &RingConfig::slices},
                                             Field{"tokens", &RingConfig::tokens},
                                             Field{"x_shared", &RingConfig::x_shared}};

  int64_t slice_depth(const MatMulProblem& p) const { return ceil_div(p.depth, 32 * slices) * 32; }
  /// sizeof(tkm::RingShared).
  int64_t shared_bytes(const MatMulProblem& p) const {
    int64_t ring = stages * 16 * (chunk * 2 + 64),
            x = x_shared ? tokens * (slice_depth(p) * 2 + 64) : 16, sums = 2 * kWarps * 32 * 16,
            barriers = (2 * stages + 4) * 8;
    return round_up(ring + x, 16) + sums + round_up(barriers, 16);
  }
  bool valid(const MatMulProblem& p, const device::cuda::DeviceInfo& info) const {
    bool sane = chunk > 0 && chunk % 256 == 0 && chunk <= 4096 && stages >= 2 && stages <= 16 &&
                slices >= 1 && slices <= 8 && (tokens & (tokens - 1)) == 0 && tokens >= 1 &&
                tokens <= kMaxTokens;
    return sane && (slices - 1) * slice_depth(p) < p.depth &&
           (x_shared || slice_depth(p) <= kRegisterDepth) &&
           shared_bytes(p) <= info.max_shared_bytes;
  }
};

bool claims(const MatMulProblem& p, const device::cuda::DeviceInfo& info) {
  return info.compute_capability >= 90 && p.streams() && p.depth % 32 == 0 &&
         (!p.op.gated || p.columns() % 8 == 0);
}

class RingMatMul : public Kernel {
 public:
  RingMatMul(const MatMulProblem& problem, const RingConfig& config)
      : problem_(problem), config_(config) {}

  Result<void> load(device::Device& device) {
    std::string config = construct("RingConfig",
                                   problem_.text(),
                                   config_.chunk,
                                   config_.stages,
                                   config_.slices,
                                   config_.tokens,
                                   config_.x_shared);
    std::string kernel =
        instantiate("matmul_ring", config, device_type(problem_.bias), device_type(problem_.y));
    TKM_ASSIGN(function_, load_function(device, "gemm/matmul_ring.cuh", kernel));
    if (config_.slices > 1) {
      TKM_ASSIGN(counters_, allocate_counters(device, tiles()));
    }
    int64_t sms = device::cuda::cuda_device(device).info().num_sms;
    blocks_ = std::min(sms / config_.slices, tiles()) * config_.slices;
    return {};
  }

  int64_t workspace_bytes(int64_t, int64_t, int64_t) const override {
    return config_.slices > 1 ? tiles() * config_.slices * 32 * 16 : 0;
  }

  void run(const Launch& launch) override {
    int64_t tokens = launch.inputs[0].rows();
    for (int64_t first = 0; first < tokens; first += config_.tokens) {
      function_.launch(
          {.grid = {grid_size(blocks_)},
           .block = {grid_size(kThreads)},
           .shared_bytes = grid_size(config_.shared_bytes(problem_)),
           .dependent = true},
          matmul_args(problem_, launch, first, std::min(config_.tokens, tokens - first)),
          launch.workspace,
          counters_.data());
    }
  }

 private:
  int64_t tiles() const { return ceil_div(problem_.outputs, 16); }

  MatMulProblem problem_;
  RingConfig config_;
  Function function_;
  device::Memory counters_;  ///< Of slices of a tile that have arrived; zero between launches.
  int64_t blocks_ = 0;
};

/// The best guess first: x in registers where it fits, else in shared memory while that is small,
/// else split.
std::vector<RingConfig> choices(const MatMulProblem& p, int64_t tokens) {
  int64_t width = tokens <= 1 ? 1 : tokens <= 2 ? 2 : tokens <= 4 ? 4 : 8;
  int64_t slices = ceil_div(p.depth, kRegisterDepth);
  std::vector<RingConfig> configs;
  if (slices == 1) {
    for (auto [chunk, stages] : {std::pair{1024, 3}, {512, 4}, {2048, 2}})
      configs.push_back({.chunk = chunk, .stages = stages, .tokens = width});
    configs.push_back({.chunk = 512, .stages = 6, .tokens = width, .x_shared = true});
    return configs;
  }
  for (auto [chunk, stages] : {std::pair{1024, 3}, {1024, 2}, {512, 4}}) {
    configs.push_back({.chunk = chunk, .stages = stages, .tokens = width, .x_shared = true});
    configs.push_back({.chunk = chunk, .stages = stages, .slices = slices, .tokens = width});
  }
  if (width > 2) std::swap(configs[0], configs[1]);
  return configs;
}

}  // namespace

const Tactic& matmul_cuda_ring() {
  static const Tactic tactic = {
      .name = "matmul_cuda_ring",
      .target = Target::kCuda,
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
            const auto& info = device::cuda::cuda_device(device).info();
            std::vector<Json> out;
            auto problem = matmul_problem(desc);
            if (!problem || !claims(*problem, info) || tokens > kMaxTokens) return out;
            for (const RingConfig& config : choices(*problem, tokens)) {
              if (config.valid(*problem, info))
                out.push_back(base::fields_to_json(config, /*all=*/true));
            }
            return out;
          },
      .make = [](const KernelDesc& desc, const Json& json, device::Device& device) -> Made {
        TKM_ASSIGN(auto config, base::fields_from_json<RingConfig>(json));
        auto problem = matmul_problem(desc);
        const auto& info = device::cuda::cuda_device(device).info();
        if (!problem || !claims(*problem, info) || !config.valid(*problem, info))
          return base::invalid("matmul_cuda_ring: no such config: " + json.dump());
        auto kernel = std::make_unique<RingMatMul>(*problem, config);
        TKM_RETURN_IF_ERROR(kernel->load(device));
        return std::unique_ptr<Kernel>(std::move(kernel));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
