// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_tma: many tokens on Hopper's warpgroup products. Any number of tokens is right.
#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cuda/gemm/normed_problem.h"
#include "tokamak/kernels/cuda/gemm/wgmma_problem.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kThreads = 384, kTileOutputs = 128;
constexpr int64_t kStreamTiles = 16;  ///< Token tiles of one launch that streams.

struct TmaConfig {
  static constexpr std::string_view kName = "matmul_cuda_tma";
  int64_t tile = 64;  ///< Tokens.
  int64_t stages = 4;
  bool stream = true;  ///< Equal runs of steps a block instead of whole tiles.
  static constexpr auto kFields = std::tuple{Field{"tile", &TmaConfig::tile},
                                             Field{"stages", &TmaConfig::stages},
                                             Field{"stream", &TmaConfig::stream}};

  int64_t stage_bytes() const { return (kTileOutputs + tile) * kStepColumns * 2; }
  /// sizeof(tkm::TmaShared).
  int64_t shared_bytes(const MatMulProblem& p) const {
    int64_t pitch = (p.op.gated ? 32 : 64) + 4, chunk = std::min<int64_t>(tile, 32);
    int64_t bytes = stages * stage_bytes() + 2 * chunk * pitch * 4 + 8 + 2 * stages * 8;
    return round_up(bytes, 1024);
  }
  bool valid(const MatMulProblem& p, const device::cuda::DeviceInfo& info) const {
    bool tiled = tile == 16 || tile == 32 || tile == 64 || tile == 128 || tile == 256;
    return tiled && stages >= 2 && stages <= 16 && shared_bytes(p) <= info.max_shared_bytes;
  }
};

class TmaMatMul : public Kernel {
 public:
  TmaMatMul(device::Device& device, const MatMulProblem& problem, const TmaConfig& config)
      : device_(device::cuda::cuda_device(device)), problem_(problem), config_(config) {}

  Result<void> load() {
    std::string config =
        construct("TmaConfig", problem_.text(), config_.tile, config_.stages, config_.stream);
    std::string kernel =
        instantiate("matmul_tma", config, device_type(problem_.bias), device_type(problem_.y));
    TKM_ASSIGN(function_, load_function(device_, "gemm/matmul_tma.cuh", kernel));
    if (config_.stream) {
      TKM_ASSIGN(counters_, allocate_counters(device_, output_tiles() * kStreamTiles * 2));
    }
    return {};
  }

  int64_t workspace_bytes(int64_t, int64_t, int64_t) const override {
    return config_.stream ? 2 * num_sms() * (config_.tile / 8) * 256 * 16 : 0;
  }

  void run(const Launch& launch) override {
    int64_t tokens = launch.inputs[0].rows(),
            most = config_.stream ? kStreamTiles * config_.tile : tokens;
    for (int64_t first = 0; first < tokens; first += most)
      run_part(launch, first, std::min(most, tokens - first));
  }

 private:
  int64_t num_sms() const { return device_.info().num_sms; }
  int64_t output_tiles() const { return ceil_div(problem_.outputs, kTileOutputs); }

  void run_part(const Launch& launch, int64_t first, int64_t tokens) {
    MatMulArgs args = matmul_args(problem_, launch, first, tokens);
    OperandMaps maps(device_, problem_, args, kTileOutputs, config_.tile);
    int64_t tiles = output_tiles() * ceil_div(tokens, config_.tile),
            steps = tiles * ceil_div(problem_.depth, kStepColumns);
    function_.launch({.grid = {grid_size(std::min(num_sms(), config_.stream ? steps : tiles))},
                      .block = {grid_size(kThreads)},
                      .shared_bytes = grid_size(config_.shared_bytes(problem_)),
                      .dependent = true},
                     args,
                     maps.w,
                     maps.x,
                     launch.workspace,
                     counters_.data());
  }

  CudaDevice& device_;
  MatMulProblem problem_;
  TmaConfig config_;
  Function function_;
  device::Memory counters_;  ///< Of blocks that share a tile; zero between launches.
};

/// The narrowest tile that takes all tokens; up to 128 of them are matmul_cluster's business, for
/// most shapes.
std::vector<TmaConfig> choices(int64_t tokens) {
  if (tokens <= 16) return {{16, 9, true}};
  if (tokens <= 32) return {{32, 9, true}};
  if (tokens <= 64) return {{64, 8, true}};
  if (tokens <= 128) return {{128, 6, true}};
  return {{256, 4, false}, {256, 4, true}, {128, 6, false}, {128, 6, true}};
}

}  // namespace

const Tactic& matmul_cuda_tma() {
  static const Tactic tactic = {
      .name = "matmul_cuda_tma",
      .target = Target::kCuda,
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
            const auto& info = device::cuda::cuda_device(device).info();
            std::vector<Json> out;
            auto problem = matmul_problem(desc);
            if (!problem || !takes_wgmma(*problem, info)) return out;
            if (takes_stream(desc, tokens, device) || takes_ring(desc, tokens, device)) return out;
            for (const TmaConfig& config : choices(tokens)) {
              if (config.valid(*problem, info))
                out.push_back(base::fields_to_json(config, /*all=*/true));
            }
            return out;
          },
      .make = make_wgmma<TmaConfig, TmaMatMul>};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
