// SPDX-License-Identifier: Apache-2.0
// Tactics of the rotary embedding, alone and with the append to the cache: a warp a head.
#include "tokamak/op/rope.h"

#include <map>

#include "tokamak/kernels/cuda/rope/rope_params.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kWarps = 4;

/// The op as rope_append has it; a plain rope has neither cache nor norm.
struct RopeProblem {
  bool append = false;
  op::RopeAppend op;
  DType x = DType::kBF16, weight = DType::kBF16;

  int64_t heads() const { return op.num_heads + (append ? 2 * op.num_kv_heads : 0); }
  std::string kernel(DType kv) const {
    return instantiate(
        "rope", rope_config(op, append), device_type(x), device_type(weight), device_type(kv));
  }
};

RopeProblem problem_of(const KernelDesc& desc) {
  RopeProblem p{.x = desc.inputs[0].dtype, .weight = desc.inputs[0].dtype};
  if (const auto* append = desc.op.as<op::RopeAppend>()) {
    p.append = true;
    p.op = *append;
    if (append->qk_norm) p.weight = desc.inputs[2].dtype;
  } else if (const auto* rope = desc.op.as<op::Rope>()) {
    static_cast<op::RotarySettings&>(p.op) = *rope;
    p.op.head_dim = rope->head_dim;
    p.op.num_heads = desc.inputs[0].columns() / rope->head_dim;
  }
  return p;
}

class RopeKernel : public Kernel {
 public:
  RopeKernel(device::Device& device, const RopeProblem& problem)
      : device_(device), problem_(problem), params_(rope_params(problem.op, problem.op.eps)) {}

  /// The kernel for a cache of this type.
  Result<void> load(DType kv) {
    if (functions_.contains(kv)) return {};
    TKM_ASSIGN(functions_[kv], load_function(device_, "rope/rope.cuh", problem_.kernel(kv)));
    return {};
  }

  void run(const Launch& launch) override {
    int64_t rows = launch.inputs[0].rows();
    if (rows == 0) return;
    BatchArgument batch{};
    CacheArgument cache{};
    DType kv = problem_.x;
    if (problem_.append) {
      const op::KvCache& layer = cache_of_layer(launch, problem_.op.layer);
      batch = batch_argument(launch);
      cache = cache_argument(layer);
      kv = layer.dtype;
    }
    auto loaded = load(kv);
    TKM_CHECK(loaded.ok(), "rope_append: {}", loaded.error().text());
    const void* q_norm = problem_.op.qk_norm ? launch.inputs[2].data : nullptr;
    const void* k_norm = problem_.op.qk_norm ? launch.inputs[3].data : nullptr;
    functions_[kv].launch({.grid = {grid_size(rows), grid_size(ceil_div(problem_.heads(), kWarps))},
                           .block = {grid_size(kWarps * 32)},
                           .dependent = true},
                          launch.inputs[0].data,
                          launch.inputs[1].data,
                          q_norm,
                          k_norm,
                          launch.outputs[0].data,
                          params_,
                          batch,
                          cache);
  }

 private:
  device::Device& device_;
  RopeProblem problem_;
  RopeParams params_;
  std::map<DType, Function> functions_;  ///< By the cache's type.
};

template <class T>
std::vector<Json> candidates(const KernelDesc& desc, int64_t, const device::Device&) {
  const auto* rope = desc.op.as<T>();
  if (!rope || !all_supported(desc) || rope->rotary_dim > kMaxRotaryDim) return {};
  return {Json::object()};
}

Made make(const KernelDesc& desc, const Json&, device::Device& device) {
  auto kernel = std::make_unique<RopeKernel>(device, problem_of(desc));
  TKM_RETURN_IF_ERROR(kernel->load(desc.inputs[0].dtype));
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace

const Tactic& rope_cuda_heads() {
  static const Tactic tactic = {.name = "rope_cuda_heads",
                                .target = Target::kCuda,
                                .candidates = candidates<op::Rope>,
                                .make = make};
  return tactic;
}

const Tactic& rope_append_cuda_heads() {
  static const Tactic tactic = {.name = "rope_append_cuda_heads",
                                .target = Target::kCuda,
                                .candidates = candidates<op::RopeAppend>,
                                .make = make};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
