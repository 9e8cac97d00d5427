// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_stream, norm_matmul_cuda_stream: one or two tokens, whole rows of w as they lie in
// memory. More tokens are right too, two at a time.
#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cuda/gemm/streaming_kernel.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kMaxTokens = 2, kStageBytes = 64 << 10;
constexpr int64_t kMaxValues = 128;  ///< Of x in the registers of a thread.

struct StreamConfig {
  static constexpr std::string_view kName = "matmul_cuda_stream";
  int64_t rows = 4;  ///< Of w in a stage.
  int64_t stages = 3;
  int64_t tokens = 1;
  static constexpr auto kFields = std::tuple{Field{"rows", &StreamConfig::rows},
                                             Field{"stages", &StreamConfig::stages},
                                             Field{"tokens", &StreamConfig::tokens}};

  /// sizeof(tkm::StreamShared).
  int64_t shared_bytes(const MatMulProblem& p) const {
    int64_t sums = 2 * kStreamWarps * rows * tokens * 4, squares = tokens * kStreamWarps * 4,
            barriers = (2 * stages + 4) * 8;
    return round_up(stages * rows * p.depth * 2 + sums + squares + barriers, 128);
  }
  bool valid(const MatMulProblem& p, const device::cuda::DeviceInfo& info) const {
    bool sane = rows >= 1 && rows * tokens <= 32 && (!p.op.gated || rows % 2 == 0) && stages >= 2 &&
                stages <= 16 && tokens >= 1 && tokens <= kMaxTokens;
    return sane && tokens * ceil_div(p.depth, 8 * kStreamWarps * 32) * 8 <= kMaxValues &&
           shared_bytes(p) <= info.max_shared_bytes;
  }
  StreamingLaunch launch(const NormedProblem& p) const {
    return {.name = "matmul_stream",
            .config = construct("StreamConfig",
                                p.text(),
                                rows,
                                stages,
                                tokens,
                                p.norm.has_value(),
                                p.norm && p.norm->unit_offset),
            .tokens = tokens,
            .tiles = ceil_div(p.columns(), p.op.gated ? rows / 2 : rows),
            .shared_bytes = shared_bytes(p)};
  }
};

bool claims(const MatMulProblem& p, const device::cuda::DeviceInfo& info) {
  return info.compute_capability >= 90 && p.streams() && p.depth % 8 == 0;
}

/// Stages of up to 64 KiB, in a ring of 116 KiB and more, so that one block of it fits a
/// multiprocessor and an attention's beside it. Others are as fast alone, but not in a whole step.
StreamConfig best_config(const MatMulProblem& p, int64_t tokens) {
  int64_t least = p.op.gated ? 2 : 1,
          rows = std::clamp<int64_t>(kStageBytes / (p.depth * 2) / least * least, least, 16),
          stages = std::max<int64_t>(2, ceil_div(kLeastRingBytes, rows * p.depth * 2));
  return {.rows = rows, .stages = stages, .tokens = tokens};
}

std::vector<Json> stream_candidates(const KernelDesc& desc,
                                    int64_t tokens,
                                    const device::Device& device) {
  const auto& info = device::cuda::cuda_device(device).info();
  std::vector<Json> out;
  auto problem = normed_problem(desc);
  if (!problem || !claims(*problem, info) || tokens > kMaxTokens) return out;
  StreamConfig config = best_config(*problem, tokens);
  if (config.valid(*problem, info)) out.push_back(base::fields_to_json(config, /*all=*/true));
  return out;
}

}  // namespace

bool takes_stream(const KernelDesc& desc, int64_t tokens, const device::Device& device) {
  return !stream_candidates(desc, tokens, device).empty();
}

const Tactic& matmul_cuda_stream() {
  static const Tactic tactic = {.name = "matmul_cuda_stream",
                                .target = Target::kCuda,
                                .candidates = candidates_for<op::MatMul, stream_candidates>,
                                .make = make_streaming<StreamConfig, claims>};
  return tactic;
}

const Tactic& norm_matmul_cuda_stream() {
  static const Tactic tactic = {.name = "norm_matmul_cuda_stream",
                                .target = Target::kCuda,
                                .candidates = candidates_for<op::NormMatMul, stream_candidates>,
                                .make = make_streaming<StreamConfig, claims>};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
