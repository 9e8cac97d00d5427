// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_ring, norm_matmul_cuda_ring: up to 8 tokens, at the speed of memory. More tokens are
// right too, 8 at a time.
#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cuda/gemm/streaming_kernel.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kRows = 8;
constexpr int64_t kMaxTokens = 8;

struct RingConfig {
  static constexpr std::string_view kName = "matmul_cuda_ring";
  int64_t chunk = 1024;  ///< Columns of a stage.
  int64_t stages = 3;
  int64_t tokens = kMaxTokens;
  static constexpr auto kFields = std::tuple{Field{"chunk", &RingConfig::chunk},
                                             Field{"stages", &RingConfig::stages},
                                             Field{"tokens", &RingConfig::tokens}};

  /// sizeof(tkm::RingShared).
  int64_t shared_bytes(const NormedProblem& p) const {
    int64_t ring = stages * kRows * (chunk * 2 + 16), x = tokens * (p.depth * 2 + 16),
            sums = 2 * kStreamWarps * 32 * 8, squares = tokens * kStreamWarps * 4,
            barriers = (2 * stages + 5) * 8;
    return round_up(ring + x + sums + squares + barriers, 1024);
  }
  bool valid(const NormedProblem& p, const device::cuda::DeviceInfo& info) const {
    bool sane = chunk > 0 && chunk % 512 == 0 && chunk <= 4096 && stages >= 2 && stages <= 16 &&
                (tokens & (tokens - 1)) == 0 && tokens >= 1 && tokens <= kMaxTokens;
    return sane && shared_bytes(p) <= info.max_shared_bytes;
  }
  StreamingLaunch launch(const NormedProblem& p) const {
    return {.name = "matmul_ring",
            .config = construct("RingConfig",
                                p.text(),
                                chunk,
                                stages,
                                tokens,
                                p.norm.has_value(),
                                p.norm && p.norm->unit_offset),
            .tokens = tokens,
            .tiles = ceil_div(p.outputs, kRows),
            .shared_bytes = shared_bytes(p)};
  }
};

bool claims(const NormedProblem& p, const device::cuda::DeviceInfo& info) {
  return info.compute_capability >= 90 && p.streams() && p.depth % 64 == 0;
}

/// Rings of 116 KiB and more, so that one block of them fits a multiprocessor; stages of whole rows
/// or parts of them. valid() sorts out what does not fit.
std::vector<RingConfig> choices(const MatMulProblem& p, int64_t tokens) {
  int64_t width = tokens <= 1 ? 1 : tokens <= 2 ? 2 : tokens <= 4 ? 4 : 8;
  std::vector<RingConfig> configs;
  for (int64_t most : {2048, 4096}) {
    int64_t parts = ceil_div(p.depth, most), chunk = round_up(ceil_div(p.depth, parts), 512),
            stages = std::max<int64_t>(2, ceil_div(kLeastRingBytes, kRows * chunk * 2));
    if (configs.empty() || configs[0].chunk != chunk)
      configs.push_back({.chunk = chunk, .stages = stages, .tokens = width});
  }
  return configs;
}

std::vector<Json> ring_candidates(const KernelDesc& desc,
                                  int64_t tokens,
                                  const device::Device& device) {
  const auto& info = device::cuda::cuda_device(device).info();
  std::vector<Json> out;
  auto problem = normed_problem(desc);
  if (!problem || !claims(*problem, info) || tokens > kMaxTokens) return out;
  if (takes_stream(desc, tokens, device)) return out;
  for (const RingConfig& config : choices(*problem, tokens)) {
    if (config.valid(*problem, info)) out.push_back(base::fields_to_json(config, /*all=*/true));
  }
  return out;
}

}  // namespace

bool takes_ring(const KernelDesc& desc, int64_t tokens, const device::Device& device) {
  return !ring_candidates(desc, tokens, device).empty();
}

const Tactic& matmul_cuda_ring() {
  static const Tactic tactic = {.name = "matmul_cuda_ring",
                                .version = 3,
                                .target = Target::kCuda,
                                .candidates = candidates_for<op::MatMul, ring_candidates>,
                                .make = make_streaming<RingConfig, claims>};
  return tactic;
}

const Tactic& norm_matmul_cuda_ring() {
  static const Tactic tactic = {.name = "norm_matmul_cuda_ring",
                                .target = Target::kCuda,
                                .candidates = candidates_for<op::NormMatMul, ring_candidates>,
                                .make = make_streaming<RingConfig, claims>};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
