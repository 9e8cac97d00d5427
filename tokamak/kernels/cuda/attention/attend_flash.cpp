// SPDX-License-Identifier: Apache-2.0
// attend_cuda_flash, attention_cuda_flash: bf16 on tensor cores. attend_split takes the sequences
// with one row in this step, attend_tile or attend_wgmma those with more; which of them are
// launched follows from the bounds of the batch, so that a captured step stays right for other
// sequences.
#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cuda/attention/attend_kernels.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kSplitWarps = 4, kMaxSplits = 64;

/// Who takes the sequences with more than one row.
enum class TileKernel { kMma, kWgmma };
constexpr auto enum_names(TileKernel) {
  return std::array<std::string_view, 2>{"mma", "wgmma"};
}

struct FlashConfig {
  int64_t split_stages = 2;  ///< Pages in shared memory.
  int64_t split_waves = 2;   ///< Blocks a multiprocessor that a sequence is split for.
  TileKernel tile = TileKernel::kMma;
  int64_t tile_stages = 2;
  int64_t tile_warps = 4;
  int64_t tile_tokens = op::kPageTokens;  ///< Of a stage; the rest is wgmma's.
  bool tile_turns = false;
  bool tile_persistent = false;
  static constexpr auto kFields =
      std::tuple{Field{"split_stages", &FlashConfig::split_stages},
                 Field{"split_waves", &FlashConfig::split_waves},
                 Field{"tile", &FlashConfig::tile},
                 Field{"tile_stages", &FlashConfig::tile_stages},
                 Field{"tile_warps", &FlashConfig::tile_warps},
                 Field{"tile_tokens", &FlashConfig::tile_tokens},
                 Field{"tile_turns", &FlashConfig::tile_turns},
                 Field{"tile_persistent", &FlashConfig::tile_persistent}};

  WgmmaAttend::Config wgmma() const {
    return {.tokens = tile_tokens,
            .stages = tile_stages,
            .groups = tile_warps / 4 - 1,
            .turns = tile_turns,
            .persistent = tile_persistent};
  }
};

int64_t page_bytes(int64_t head_dim) {
  return 2 * op::kPageTokens * (head_dim * 2 + 16);
}
/// Of queries in shared memory, where they do not fit the registers.
int64_t query_bytes(int64_t head_dim, int64_t warps) {
  return head_dim > 128 ? warps * head_dim / 16 * 512 : 0;
}

class FlashAttendKernel : public Kernel {
 public:
  FlashAttendKernel(device::Device& device, const AttendProblem& problem, const FlashConfig& config)
      : device_(device),
        problem_(problem),
        config_(config),
        num_sms_(device::cuda::cuda_device(device).info().num_sms),
        wgmma_(device, problem),
        plain_(device, problem),
        append_(device, problem) {}

  Result<void> load() {
    std::string split = problem_.config(config_.split_stages, kSplitWarps);
    TKM_ASSIGN(
        split_,
        load_function(device_, "attention/attend_split.cuh", instantiate("attend_split", split)));
    if (config_.tile == TileKernel::kWgmma) {
      TKM_RETURN_IF_ERROR(wgmma_.load(config_.wgmma()));
    } else {
      std::string tile = problem_.config(config_.tile_stages, config_.tile_warps);
      TKM_ASSIGN(
          tile_,
          load_function(device_, "attention/attend_tile.cuh", instantiate("attend_tile", tile)));
    }
    if (problem_.append) TKM_RETURN_IF_ERROR(append_.load(DType::kBF16));
    TKM_ASSIGN(counters_, allocate_counters(device_, split_blocks()));
    return {};
  }

  int64_t workspace_bytes(int64_t, int64_t, int64_t) const override {
    int64_t rows = std::min<int64_t>(problem_.group(), 16);
    return 2 * split_blocks() * rows * (problem_.settings.head_dim + 2) * 4;
  }

  void run(const Launch& launch) override {
    if (launch.inputs[0].rows() == 0) return;
    const op::KvCache& cache = cache_of_layer(launch, problem_.settings.layer);
    if (problem_.append) append_.run(launch, cache);
    if (cache.dtype != DType::kBF16) return plain_.run(launch, cache);
    run_split(launch, cache);
    if (launch.device_batch->max_sequence_rows > 1) run_tile(launch, cache);
  }

 private:
  int64_t split_blocks() const { return config_.split_waves * num_sms_; }

  void run_split(const Launch& launch, const op::KvCache& cache) const {
    const op::AttentionSettings& s = problem_.settings;
    int64_t sequences = launch.device_batch->num_sequences,
            heads = s.num_kv_heads * problem_.row_blocks(), items = sequences * heads;
    int64_t limit = std::clamp<int64_t>(launch.device_batch->max_pages, 1, kMaxSplits);
    int64_t splits = items < split_blocks() ? ceil_div(split_blocks(), items) : 1;
    int64_t pages = config_.split_stages * page_bytes(s.head_dim),
            sums = kSplitWarps * 16 * (s.head_dim + 2) * 4,
            parts = pages / 2 + kMaxSplits * std::min<int64_t>(problem_.group(), 16) * 8;
    split_.launch(
        {.grid = {grid_size(std::min(splits, limit)), grid_size(heads), grid_size(sequences)},
         .block = {grid_size(kSplitWarps * 32)},
         .shared_bytes = grid_size(std::max({pages + query_bytes(s.head_dim, 1), sums, parts})),
         .dependent = true},
        launch.inputs[0].data,
        launch.outputs[0].data,
        attend_params(s),
        batch_argument(launch),
        cache_argument(cache),
        launch.workspace,
        counters_.data());
  }

  void run_tile(const Launch& launch, const op::KvCache& cache) const {
    if (config_.tile == TileKernel::kWgmma) return wgmma_.run(launch, cache);
    const op::AttentionSettings& s = problem_.settings;
    int64_t rows = launch.inputs[0].rows() * problem_.group();
    int64_t tiles = ceil_div(rows, config_.tile_warps * 16) + launch.device_batch->num_sequences;
    int64_t shared =
        config_.tile_stages * page_bytes(s.head_dim) + query_bytes(s.head_dim, config_.tile_warps);
    tile_.launch({.grid = {grid_size(tiles), grid_size(s.num_kv_heads)},
                  .block = {grid_size(config_.tile_warps * 32)},
                  .shared_bytes = grid_size(shared),
                  .dependent = true},
                 launch.inputs[0].data,
                 launch.outputs[0].data,
                 attend_params(s),
                 batch_argument(launch),
                 cache_argument(cache));
  }

  device::Device& device_;
  AttendProblem problem_;
  FlashConfig config_;
  int64_t num_sms_;
  Function split_, tile_;
  WgmmaAttend wgmma_;
  PlainAttend plain_;  ///< For a cache of another type.
  Append append_;
  device::Memory counters_;  ///< Of blocks that share a sequence; zero between launches.
};

/// Configs of attend_wgmma worth timing for steps of many tokens.
/// Best first, by the bench of prompts on an H200.
std::vector<FlashConfig> wgmma_configs(int64_t head_dim) {
  FlashConfig config{.split_stages = 3,
                     .tile = TileKernel::kWgmma,
                     .tile_stages = 2,
                     .tile_warps = 12,
                     .tile_tokens = head_dim > 128 ? 64 : 128,
                     .tile_turns = true,
                     .tile_persistent = true};
  std::vector<FlashConfig> out = {config};
  out.push_back(config), out.back().tile_turns = false;
  out.push_back(config), out.back().tile_persistent = false;
  if (head_dim == 128) {
    out.push_back(config), out.back().tile_tokens = 64, out.back().tile_stages = 4;
  }
  if (head_dim == 64) {
    out.push_back(config), out.back().tile_turns = false, out.back().tile_warps = 16;
  }
  return out;
}

template <class T>
std::vector<Json> candidates(const KernelDesc& desc, int64_t tokens, const device::Device& device) {
  if (!desc.op.as<T>()) return {};
  AttendProblem problem = *attend_problem(desc);
  int64_t head_dim = problem.settings.head_dim;
  if (problem.x != DType::kBF16 || head_dim % 16 || head_dim > 256) return {};
  if (device::cuda::cuda_device(device).info().compute_capability < 80) return {};
  // How prompts are computed, of which long ones choose; then how decode steps are, of which
  // others do.
  std::vector<FlashConfig> tiles, configs;
  const auto& info = device::cuda::cuda_device(device).info();
  if (WgmmaAttend::claims(problem, info)) {
    for (const FlashConfig& config : wgmma_configs(head_dim)) {
      if (config.wgmma().valid(problem, info)) tiles.push_back(config);
    }
  }
  tiles.push_back({.split_stages = 3});
  if (head_dim <= 128) tiles.push_back({.split_stages = 3, .tile_warps = 8});
  for (int64_t waves : {2, 6}) {
    for (int64_t stages : {2, 3}) {
      configs.push_back(tiles[0]);
      configs.back().split_stages = stages;
      configs.back().split_waves = waves;
    }
  }
  if (tokens > 16) std::swap(configs[0], configs[1]);
  if (tokens > kMaxDecodes) configs = tiles;
  std::vector<Json> out;
  for (const FlashConfig& config : configs) out.push_back(base::fields_to_json(config, true));
  return out;
}

Made make(const KernelDesc& desc, const Json& json, device::Device& device) {
  TKM_ASSIGN(auto config, base::fields_from_json<FlashConfig>(json));
  auto within = [](int64_t value, int64_t low, int64_t high) {
    return value >= low && value <= high;
  };
  if (!within(config.split_stages, 2, 8) || !within(config.tile_stages, 2, 8) ||
      !within(config.split_waves, 1, 64) || !within(config.tile_warps, 1, 16))
    return base::invalid("attend_cuda_flash: no such config: " + json.dump());
  AttendProblem problem = *attend_problem(desc);
  if (config.tile == TileKernel::kWgmma &&
      (config.tile_warps % 4 ||
       !config.wgmma().valid(problem, device::cuda::cuda_device(device).info())))
    return base::invalid("attend_cuda_flash: no such config: " + json.dump());
  auto kernel = std::make_unique<FlashAttendKernel>(device, problem, config);
  TKM_RETURN_IF_ERROR(kernel->load());
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace

const Tactic& attend_cuda_flash() {
  static const Tactic tactic = {.name = "attend_cuda_flash",
                                .target = Target::kCuda,
                                .candidates = candidates<op::Attend>,
                                .make = make};
  return tactic;
}

const Tactic& attention_cuda_flash() {
  static const Tactic tactic = {.name = "attention_cuda_flash",
                                .target = Target::kCuda,
                                .candidates = candidates<op::Attention>,
                                .make = make};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
