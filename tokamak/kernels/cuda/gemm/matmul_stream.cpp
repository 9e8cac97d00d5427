// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_stream, norm_matmul_cuda_stream: one or two tokens, whole rows of w as they lie in
// memory. More tokens are right too, two at a time.
#include "tokamak/kernels/cuda/gemm/normed_problem.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kWarps = 8, kThreads = (kWarps + 2) * 32;
constexpr int64_t kMaxTokens = 2, kStageBytes = 64 << 10;
constexpr int64_t kLeastRingBytes = 116 << 10;
constexpr int64_t kMaxValues = 128;  ///< Of x in the registers of a thread.

struct StreamConfig {
  int64_t rows = 4;  ///< Of w in a stage.
  int64_t stages = 3;
  int64_t tokens = 1;
  static constexpr auto kFields = std::tuple{Field{"rows", &StreamConfig::rows},
                                             Field{"stages", &StreamConfig::stages},
                                             Field{"tokens", &StreamConfig::tokens}};

  /// sizeof(tkm::StreamShared).
  int64_t shared_bytes(const MatMulProblem& p) const {
    int64_t sums = 2 * kWarps * rows * tokens * 4, squares = tokens * kWarps * 4,
            barriers = (2 * stages + 4) * 8;
    return round_up(stages * rows * p.depth * 2 + sums + squares + barriers, 128);
  }
  bool valid(const MatMulProblem& p, const device::cuda::DeviceInfo& info) const {
    bool sane = rows >= 1 && rows * tokens <= 32 && (!p.op.gated || rows % 2 == 0) && stages >= 2 &&
                stages <= 16 && tokens >= 1 && tokens <= kMaxTokens;
    return sane && tokens * ceil_div(p.depth, 8 * kWarps * 32) * 8 <= kMaxValues &&
           shared_bytes(p) <= info.max_shared_bytes;
  }
};

bool claims(const MatMulProblem& p, const device::cuda::DeviceInfo& info) {
  return info.compute_capability >= 90 && p.streams() && p.depth % 8 == 0;
}

class StreamMatMul : public Kernel {
 public:
  StreamMatMul(const NormedProblem& problem, const StreamConfig& config)
      : problem_(problem), config_(config) {}

  Result<void> load(device::Device& device) {
    std::string config = construct("StreamConfig",
                                   problem_.text(),
                                   config_.rows,
                                   config_.stages,
                                   config_.tokens,
                                   problem_.norm.has_value(),
                                   problem_.norm && problem_.norm->unit_offset);
    std::string kernel = instantiate("matmul_stream",
                                     config,
                                     device_type(problem_.norm_dtype),
                                     device_type(problem_.bias),
                                     device_type(problem_.y));
    TKM_ASSIGN(function_, load_function(device, "gemm/matmul_stream.cuh", kernel));
    int64_t results = problem_.op.gated ? config_.rows / 2 : config_.rows,
            sms = device::cuda::cuda_device(device).info().num_sms;
    blocks_ = std::min(sms, ceil_div(problem_.columns(), results));
    return {};
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
          norm_weights(problem_, launch),
          norm_eps(problem_));
    }
  }

 private:
  NormedProblem problem_;
  StreamConfig config_;
  Function function_;
  int64_t blocks_ = 0;
};

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

Made make_stream(const KernelDesc& desc, const Json& json, device::Device& device) {
  TKM_ASSIGN(auto config, base::fields_from_json<StreamConfig>(json));
  auto problem = normed_problem(desc);
  const auto& info = device::cuda::cuda_device(device).info();
  if (!problem || !claims(*problem, info) || !config.valid(*problem, info))
    return base::invalid("matmul_cuda_stream: no such config: " + json.dump());
  auto kernel = std::make_unique<StreamMatMul>(*problem, config);
  TKM_RETURN_IF_ERROR(kernel->load(device));
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace

bool takes_stream(const KernelDesc& desc, int64_t tokens, const device::Device& device) {
  return !stream_candidates(desc, tokens, device).empty();
}

const Tactic& matmul_cuda_stream() {
  static const Tactic tactic = {
      .name = "matmul_cuda_stream",
      .target = Target::kCuda,
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
            return desc.op.as<op::MatMul>() ? stream_candidates(desc, tokens, device)
                                            : std::vector<Json>();
          },
      .make = make_stream};
  return tactic;
}

const Tactic& norm_matmul_cuda_stream() {
  static const Tactic tactic = {
      .name = "norm_matmul_cuda_stream",
      .target = Target::kCuda,
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
            return desc.op.as<op::NormMatMul>() ? stream_candidates(desc, tokens, device)
                                                : std::vector<Json>();
          },
      .make = make_stream};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
