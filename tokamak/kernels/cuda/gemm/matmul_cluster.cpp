// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_cluster: up to 128 tokens on Hopper, at the speed of memory. Any number is right.
#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cuda/gemm/normed_problem.h"
#include "tokamak/kernels/cuda/gemm/wgmma_problem.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kMaxTokens = 128, kMaxOutputs = 256, kMaxStages = 24;
/// All there is, and beside which an attention's block finds room.
constexpr int64_t kSharedBytes[] = {227 << 10, 152 << 10};
constexpr size_t kMaxChoices = 5;

/// Clusters of so many blocks, a multiprocessor each, that run at once; roughly, as it depends on
/// which multiprocessors of a chip are in use.
int64_t clusters_of(int64_t blocks, const device::cuda::DeviceInfo& info) {
  return std::max<int64_t>(1, info.num_sms * (blocks <= 2 ? 12 : 11) / 12 / blocks);
}

struct ClusterConfig {
  static constexpr std::string_view kName = "matmul_cuda_cluster";
  int64_t outputs = 128;  ///< Of a tile.
  int64_t tile = 64;      ///< Tokens.
  int64_t stages = 4;
  int64_t blocks = 4;  ///< Of a cluster.
  static constexpr auto kFields = std::tuple{Field{"outputs", &ClusterConfig::outputs},
                                             Field{"tile", &ClusterConfig::tile},
                                             Field{"stages", &ClusterConfig::stages},
                                             Field{"blocks", &ClusterConfig::blocks}};
  bool operator==(const ClusterConfig&) const = default;

  int64_t stage_bytes() const { return (outputs + tile) * kStepColumns * 2; }
  int64_t sums_bytes() const { return blocks > 1 ? outputs * round_up(tile, 16) * 4 : 16; }
  /// sizeof(tkm::ClusterShared), and no less than is read as 64 tokens from the last stage on.
  int64_t shared_bytes() const {
    int64_t used = stages * (stage_bytes() + 16) + sums_bytes() + 16,
            read = ((stages - 1) * tile + 64) * kStepColumns * 2;
    return round_up(std::max(used, read), 1024);
  }
  int64_t threads() const { return (tile > 64 ? 4 : 2) * 128 + 32; }
  bool valid(const MatMulProblem& p, const device::cuda::DeviceInfo& info) const {
    bool tiled = outputs > 0 && outputs <= kMaxOutputs && outputs % (p.op.gated ? 32 : 16) == 0 &&
                 (tile == 8 || tile == 16 || tile == 32 || tile == 64 || tile == 128);
    bool split = blocks == 1 || blocks == 2 || blocks == 4 || blocks == 8;
    return tiled && split && blocks <= ceil_div(p.depth, kStepColumns) && stages >= 2 &&
           stages <= kMaxStages && shared_bytes() <= info.max_shared_bytes;
  }
  /// Microseconds, roughly: weights from memory, all that is copied from the L2 cache, by all
  /// together and by one multiprocessor in its rounds; then the exchange of sums.
  double guess(const MatMulProblem& p, const device::cuda::DeviceInfo& info) const {
    constexpr double kMemory = 4'300'000, kCache = 5'200'000, kMultiprocessor = 80'000;
    const int64_t tiles = ceil_div(p.outputs, outputs), steps = ceil_div(p.depth, kStepColumns),
                  rounds = ceil_div(tiles, clusters_of(blocks, info));
    auto us = [](int64_t bytes, double per_us) { return static_cast<double>(bytes) / per_us; };
    return std::max({us(p.outputs * p.depth * 2, kMemory),
                     us(tiles * steps * stage_bytes(), kCache),
                     us(rounds * ceil_div(steps, blocks) * stage_bytes(), kMultiprocessor)}) +
           (blocks > 1 ? 3 : 2);
  }
};

class ClusterMatMul : public Kernel {
 public:
  ClusterMatMul(device::Device& device, const MatMulProblem& problem, const ClusterConfig& config)
      : device_(device::cuda::cuda_device(device)), problem_(problem), config_(config) {}

  Result<void> load() {
    std::string config = construct("ClusterConfig",
                                   problem_.text(),
                                   config_.outputs,
                                   config_.tile,
                                   config_.stages,
                                   config_.blocks);
    std::string kernel =
        instantiate("matmul_cluster", config, device_type(problem_.bias), device_type(problem_.y));
    TKM_ASSIGN(function_, load_function(device_, "gemm/matmul_cluster.cuh", kernel));
    clusters_ = function_.clusters_at_once(shape(1));
    if (clusters_ > 0) return {};
    return base::unsupported(
        fmt::format("matmul_cuda_cluster: no {} blocks of a cluster run at once", config_.blocks));
  }

  void run(const Launch& launch) override {
    int64_t tokens = launch.inputs[0].rows();
    if (tokens == 0) return;
    MatMulArgs args = matmul_args(problem_, launch, 0, tokens);
    OperandMaps maps(device_, problem_, args, config_.outputs, config_.tile);
    int64_t tiles = ceil_div(problem_.outputs, config_.outputs) * ceil_div(tokens, config_.tile);
    function_.launch(shape(std::min(tiles, clusters_)), args, maps.w, maps.x);
  }

 private:
  device::cuda::LaunchShape shape(int64_t clusters) const {
    return {.grid = {grid_size(clusters * config_.blocks)},
            .block = {grid_size(config_.threads())},
            .shared_bytes = grid_size(config_.shared_bytes()),
            .cluster = {grid_size(config_.blocks)},
            .dependent = true};
  }

  CudaDevice& device_;
  MatMulProblem problem_;
  ClusterConfig config_;
  Function function_;
  int64_t clusters_ = 0;
};

/// The narrowest tile that takes all tokens; outputs of a tile so that each cluster has as many
/// tiles as the next; as many stages as there is room for. Best guess first, without those that are
/// far behind.
std::vector<ClusterConfig> choices(const MatMulProblem& p,
                                   int64_t tokens,
                                   const device::cuda::DeviceInfo& info) {
  constexpr double kFarBehind = 1.3;
  int64_t tile = 8;
  while (tile < std::min(tokens, kMaxTokens)) tile *= 2;
  std::vector<ClusterConfig> out;
  for (int64_t blocks : {1, 2, 4}) {
    const int64_t clusters = clusters_of(blocks, info);
    const int64_t fewest = ceil_div(p.outputs, clusters * kMaxOutputs);
    for (int64_t rounds : {fewest, fewest + 1}) {
      const int64_t outputs =
          round_up(ceil_div(p.outputs, clusters * rounds), p.op.gated ? 32 : 16);
      for (int64_t bytes : kSharedBytes) {
        ClusterConfig config{.outputs = outputs, .tile = tile, .blocks = blocks};
        int64_t room = bytes - config.sums_bytes() - 1024;
        config.stages = std::min(room / (config.stage_bytes() + 16), kMaxStages);
        if (config.stages >= 3 && config.valid(p, info)) out.push_back(config);
      }
    }
  }
  std::stable_sort(out.begin(), out.end(), [&](const ClusterConfig& a, const ClusterConfig& b) {
    return a.guess(p, info) < b.guess(p, info);
  });
  std::erase_if(out, [&, best = out.empty() ? 0 : out[0].guess(p, info)](const ClusterConfig& c) {
    return c.guess(p, info) > kFarBehind * best;
  });
  out.resize(std::min(out.size(), kMaxChoices));
  // Narrow tiles may come out alike for both sizes of memory, or both numbers of rounds.
  std::vector<ClusterConfig> distinct;
  for (const ClusterConfig& config : out) {
    if (std::find(distinct.begin(), distinct.end(), config) == distinct.end())
      distinct.push_back(config);
  }
  return distinct;
}

}  // namespace

const Tactic& matmul_cuda_cluster() {
  static const Tactic tactic = {
      .name = "matmul_cuda_cluster",
      .target = Target::kCuda,
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
            const auto& info = device::cuda::cuda_device(device).info();
            std::vector<Json> out;
            auto problem = matmul_problem(desc);
            if (!problem || !takes_wgmma(*problem, info) || tokens > kMaxTokens) return out;
            if (takes_stream(desc, tokens, device)) return out;
            for (const ClusterConfig& config : choices(*problem, tokens, info))
              out.push_back(base::fields_to_json(config, /*all=*/true));
            return out;
          },
      .make = make_wgmma<ClusterConfig, ClusterMatMul>};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
