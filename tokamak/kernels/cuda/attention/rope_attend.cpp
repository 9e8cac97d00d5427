// SPDX-License-Identifier: Apache-2.0
// rope_attend_cuda_cluster: decode steps in one kernel (sm_90 on, bf16), other steps by the halves.
// rope_attend_cuda_halves: rope_append, then attend.
#include "tokamak/kernels/cuda/attention/attend_kernels.h"
#include "tokamak/kernels/cuda/pair.h"
#include "tokamak/kernels/cuda/rope/rope_params.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kWarps = 4, kMaxCluster = 8, kMaxClusters = 8;
constexpr int64_t kRingTokens = 2;  ///< Up to which two stages fit beside a ring of weights.

Halves halves_of(const KernelDesc& desc) {
  const auto& op = *desc.op.as<op::RopeAttend>();
  std::vector<size_t> all(desc.inputs.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  return split_op(desc, static_cast<const op::RopeAppend&>(op), all, op.attend(), {});
}

/// Ways to attend; the slow tactic for any types only where there is no other.
std::vector<Json> second_halves(const KernelDesc& desc,
                                int64_t tokens,
                                const device::Device& device) {
  std::vector<Json> out = half_candidates(halves_of(desc).second, tokens, device);
  if (out.empty()) return out;
  const std::string best = out[0]["tactic"].get<std::string>();
  std::erase_if(out, [&](const Json& half) { return half["tactic"] != best; });
  return out;
}

struct ClusterConfig {
  int64_t stages = 2;  ///< Pages in shared memory.
  Json halves;         ///< What other steps run: see half_candidates().

  Json json() const { return {{"stages", stages}, {"halves", halves}}; }
  static Result<ClusterConfig> parse(const Json& json) {
    ClusterConfig out;
    bool fine = json.is_object() && json.contains("halves") && json.contains("stages") &&
                json["stages"].is_number_integer();
    if (fine) out.stages = json["stages"].get<int64_t>();
    if (!fine || out.stages < 2 || out.stages > 8)
      return base::invalid("rope_attend_cuda_cluster: no such config: " + json.dump());
    out.halves = json["halves"];
    return out;
  }
};

class ClusterKernel : public Kernel {
 public:
  ClusterKernel(device::Device& device, const op::RopeAttend& op, const ClusterConfig& config)
      : device_(device::cuda::cuda_device(device)),
        op_(op),
        config_(config),
        rope_(rope_params(op, op.eps)) {}

  Result<void> load(const KernelDesc& desc, device::Device& device) {
    TKM_ASSIGN(halves_, make_pair(halves_of(desc), config_.halves, device));
    DType weight = desc.inputs.size() > 2 ? desc.inputs[2].dtype : DType::kBF16;
    AttendProblem problem{.settings = op_.attend()};
    TKM_ASSIGN(function_,
               load_function(device,
                             "attention/rope_attend.cuh",
                             instantiate("rope_attend",
                                         problem.config(config_.stages, kWarps),
                                         rope_config(op_, /*append=*/true),
                                         device_type(weight))));
    TKM_ASSIGN(counters_, allocate_counters(device, split_blocks()));
    return {};
  }

  int64_t workspace_bytes(int64_t tokens, int64_t rows, int64_t sequences) const override {
    return std::max(split_blocks() * group_rows() * (op_.head_dim + 2) * 4,
                    halves_->workspace_bytes(tokens, rows, sequences));
  }

  void run(const Launch& launch) override {
    const op::KvCache& cache = cache_of_layer(launch, op_.layer);
    bool decodes = launch.device_batch && launch.device_batch->max_sequence_rows == 1;
    if (!decodes || cache.dtype != DType::kBF16) return halves_->run(launch);
    if (launch.inputs[0].rows() == 0) return;
    int64_t heads = op_.num_kv_heads * ceil_div(op_.num_heads / op_.num_kv_heads, 16),
            sequences = launch.device_batch->num_sequences;
    auto [cluster, clusters] = split(sequences * heads, launch.device_batch->max_pages);
    function_.launch(
        {.grid = {grid_size(cluster), grid_size(heads), grid_size(clusters * sequences)},
         .block = {grid_size(kWarps * 32)},
         .shared_bytes = grid_size(shared_bytes()),
         .cluster = {grid_size(cluster)},
         .dependent = true},
        launch.inputs[0].data,
        launch.inputs[1].data,
        op_.qk_norm ? launch.inputs[2].data : nullptr,
        op_.qk_norm ? launch.inputs[3].data : nullptr,
        launch.outputs[0].data,
        attend_params(op_.attend()),
        rope_,
        batch_argument(launch),
        cache_argument(cache),
        launch.workspace,
        counters_.data());
  }

  /// sizeof(tkm::RopeAttendShared).
  static int64_t shared_bytes(const op::RopeAttend& op, int64_t stages) {
    int64_t d = op.head_dim, pitch = d * 2 + 16,
            rows = std::min<int64_t>(op.num_heads / op.num_kv_heads, 16),
            pages = stages * 2 * op::kPageTokens * pitch, sums = kWarps * 16 * (d * 4 + 8),
            sent = kMaxCluster * rows * 8 + rows * d * 4;
    return round_up(std::max(pages, sums) + 16 * pitch + 2 * d * 2 + sent + 8, 128);
  }

 private:
  int64_t shared_bytes() const { return shared_bytes(op_, config_.stages); }
  int64_t group_rows() const { return std::min<int64_t>(op_.num_heads / op_.num_kv_heads, 16); }
  /// Blocks that share work are fewer than twice the multiprocessors.
  int64_t split_blocks() const { return 2 * device_.info().num_sms; }

  /// A block a multiprocessor: beside a ring of weights there is room for one. Blocks of a cluster,
  /// and clusters, for each of `items` sequences and heads of at most `pages`.
  std::pair<int64_t, int64_t> split(int64_t items, int64_t pages) const {
    int64_t wanted = ceil_div(device_.info().num_sms, std::max<int64_t>(items, 1)),
            splits = std::clamp<int64_t>(wanted, 1, pages);
    int64_t cluster = 1;
    while (cluster < kMaxCluster && 2 * cluster <= splits) cluster *= 2;
    return {cluster, std::clamp<int64_t>(splits / cluster, 1, kMaxClusters)};
  }

  CudaDevice& device_;
  op::RopeAttend op_;
  ClusterConfig config_;
  RopeParams rope_;
  Function function_;
  std::unique_ptr<Kernel> halves_;
  device::Memory counters_;  ///< Of clusters that share a sequence; zero between launches.
};

bool is_supported_rope(const op::RopeAttend& op) {
  return op.rotary_dim <= kMaxRotaryDim;
}

bool claims(const KernelDesc& desc, const device::cuda::DeviceInfo& info, int64_t stages) {
  const auto& op = *desc.op.as<op::RopeAttend>();
  return info.compute_capability >= 90 && desc.inputs[0].dtype == DType::kBF16 &&
         op.head_dim % 16 == 0 && op.head_dim <= 256 &&
         ClusterKernel::shared_bytes(op, stages) <= info.max_shared_bytes;
}

}  // namespace

const Tactic& rope_attend_cuda_cluster() {
  static const Tactic tactic = {
      .name = "rope_attend_cuda_cluster",
      .target = Target::kCuda,
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
            std::vector<Json> out;
            const auto* op = desc.op.as<op::RopeAttend>();
            if (!op || !all_supported(desc) || !is_supported_rope(*op)) return out;
            std::vector<Json> halves = second_halves(desc, tokens, device);
            const auto& info = device::cuda::cuda_device(device).info();
            if (halves.empty() || !claims(desc, info, 2)) return out;
            out.push_back(ClusterConfig{2, halves[0]}.json());
            // Three stages do not fit beside a ring of weights, whatever they take alone.
            if (tokens > kRingTokens && tokens <= kMaxDecodes && claims(desc, info, 3))
              out.push_back(ClusterConfig{3, halves[0]}.json());
            for (size_t i = 1; i < halves.size() && tokens > kMaxDecodes; ++i)
              out.push_back(ClusterConfig{2, halves[i]}.json());
            return out;
          },
      .make = [](const KernelDesc& desc, const Json& json, device::Device& device) -> Made {
        TKM_ASSIGN(ClusterConfig config, ClusterConfig::parse(json));
        const auto& op = *desc.op.as<op::RopeAttend>();
        if (!claims(desc, device::cuda::cuda_device(device).info(), config.stages))
          return base::invalid("rope_attend_cuda_cluster: no such config: " + json.dump());
        auto kernel = std::make_unique<ClusterKernel>(device, op, config);
        TKM_RETURN_IF_ERROR(kernel->load(desc, device));
        return std::unique_ptr<Kernel>(std::move(kernel));
      }};
  return tactic;
}

const Tactic& rope_attend_cuda_halves() {
  static const Tactic tactic = {
      .name = "rope_attend_cuda_halves",
      .target = Target::kCuda,
      .candidates = [](const KernelDesc& desc,
                       int64_t tokens,
                       const device::Device& device) -> std::vector<Json> {
        const auto* op = desc.op.as<op::RopeAttend>();
        if (!op || !all_supported(desc) || !is_supported_rope(*op)) return {};
        // For steps with prompts they are what the other tactic runs, too.
        if (tokens > kMaxDecodes && claims(desc, device::cuda::cuda_device(device).info(), 2))
          return {};
        return second_halves(desc, tokens, device);
      },
      .make = [](const KernelDesc& desc,
                 const Json& config,
                 device::Device& device) { return make_pair(halves_of(desc), config, device); }};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
