// SPDX-License-Identifier: Apache-2.0
// Tactics of the normalizations: a block a run of columns that are normed together.
#include "tokamak/op/norm.h"

#include "tokamak/kernels/cuda/device_code.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

/// What the three ops have in common.
struct NormProblem {
  bool layer = false, residual = false, bias = false, unit_offset = false;
  int64_t columns = 0, weights = 0, group = 0;
  float eps = 0;

  int64_t vector() const { return std::min(vector_of(group), vector_of(weights)); }
  int64_t threads() const {
    int64_t runs = ceil_div(group, vector());
    return std::clamp<int64_t>(round_up(runs, 32), 32, runs > 512 * 8 ? 1024 : 512);
  }
  /// A thread keeps its columns in registers.
  bool fits() const { return group > 0 && ceil_div(group, threads() * vector()) * vector() <= 64; }
};

NormProblem problem_of(const KernelDesc& desc) {
  NormProblem p{.columns = desc.inputs[0].columns()};
  if (const auto* rms = desc.op.as<op::RmsNorm>()) {
    p.unit_offset = rms->unit_offset;
    p.group = rms->group;
    p.eps = rms->eps;
  } else if (const auto* add = desc.op.as<op::AddRmsNorm>()) {
    p.residual = true;
    p.unit_offset = add->unit_offset;
    p.eps = add->eps;
  } else if (const auto* layer = desc.op.as<op::LayerNorm>()) {
    p.layer = true;
    p.bias = layer->bias;
    p.group = layer->group;
    p.eps = layer->eps;
  }
  p.weights = desc.inputs[p.residual ? 2 : 1].columns();
  if (p.group == 0) p.group = p.weights;
  return p;
}

class NormKernel : public Kernel {
 public:
  NormKernel(Function function, const NormProblem& problem)
      : function_(std::move(function)), problem_(problem) {}

  void run(const Launch& launch) override {
    const TensorView& x = launch.inputs[0];
    if (x.rows() == 0) return;
    const void* residual = problem_.residual ? launch.inputs[1].data : nullptr;
    const void* weight = launch.inputs[problem_.residual ? 2 : 1].data;
    const void* bias = problem_.bias ? launch.inputs[2].data : nullptr;
    void* sum = problem_.residual ? launch.outputs[1].data : nullptr;
    function_.launch({.grid = {grid_size(x.rows()), grid_size(problem_.columns / problem_.group)},
                      .block = {grid_size(problem_.threads())},
                      .dependent = true},
                     x.data,
                     residual,
                     weight,
                     bias,
                     launch.outputs[0].data,
                     sum,
                     problem_.eps);
  }

 private:
  Function function_;
  NormProblem problem_;
};

template <class T>
std::vector<Json> candidates(const KernelDesc& desc, int64_t, const device::Device&) {
  if (!desc.op.as<T>() || !all_supported(desc) || !problem_of(desc).fits()) return {};
  return {Json::object()};
}

Made make(const KernelDesc& desc, const Json&, device::Device& device) {
  NormProblem p = problem_of(desc);
  std::string config = construct("NormConfig",
                                 p.layer,
                                 p.residual,
                                 p.bias,
                                 p.unit_offset,
                                 p.columns,
                                 p.weights,
                                 p.group,
                                 p.vector(),
                                 p.threads());
  std::string kernel = instantiate("norm",
                                   config,
                                   device_type(desc.inputs[0].dtype),
                                   device_type(desc.inputs[p.residual ? 2 : 1].dtype));
  TKM_ASSIGN(Function function, load_function(device, "norm/norm.cuh", kernel));
  return std::unique_ptr<Kernel>(std::make_unique<NormKernel>(std::move(function), p));
}

}  // namespace

const Tactic& rms_norm_cuda_rows() {
  static const Tactic tactic = {.name = "rms_norm_cuda_rows",
                                .target = Target::kCuda,
                                .candidates = candidates<op::RmsNorm>,
                                .make = make};
  return tactic;
}

const Tactic& add_rms_norm_cuda_rows() {
  static const Tactic tactic = {.name = "add_rms_norm_cuda_rows",
                                .target = Target::kCuda,
                                .candidates = candidates<op::AddRmsNorm>,
                                .make = make};
  return tactic;
}

const Tactic& layer_norm_cuda_rows() {
  static const Tactic tactic = {.name = "layer_norm_cuda_rows",
                                .target = Target::kCuda,
                                .candidates = candidates<op::LayerNorm>,
                                .make = make};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
