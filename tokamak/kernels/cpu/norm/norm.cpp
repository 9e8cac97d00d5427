// SPDX-License-Identifier: Apache-2.0
// Tactics of the normalizations: rows over threads, each row in two passes through the cache.
#include "tokamak/op/norm.h"

#include "tokamak/kernels/cpu/norm/norm_simd.h"
#include "tokamak/kernels/cpu/rows.h"
#include "tokamak/kernels/cpu/tactics.h"

namespace tokamak::kernels::cpu {
namespace {

/// `prototype` has what all rows share; which inputs are what follows from it.
class NormKernel : public Kernel {
 public:
  NormKernel(device::Device& device, NormRow prototype, bool residual, bool bias)
      : device_(device), prototype_(prototype), residual_(residual), bias_(bias) {}

  void run(const Launch& launch) override {
    const TensorView &x = launch.inputs[0], &weight = launch.inputs[residual_ ? 2 : 1];
    NormRow shared = prototype_;
    shared.dtype = x.dtype;
    shared.weight_dtype = weight.dtype;
    shared.weight = weight.data;
    if (bias_) shared.bias = launch.inputs[2].data;
    shared.columns = x.columns();
    shared.weights = weight.columns();
    if (shared.group == 0) shared.group = shared.weights;
    int64_t row_bytes = x.columns() * tensor::dtype_bytes(x.dtype);
    parallel_rows(device_.pool(), x.rows(), x.columns(), [&](int64_t first, int64_t count, int) {
      for (int64_t i = first; i < first + count; ++i) {
        NormRow row = shared;
        row.x = offset(x.data, i * row_bytes);
        row.y = offset(launch.outputs[0].data, i * row_bytes);
        if (residual_) {
          row.residual = offset(launch.inputs[1].data, i * row_bytes);
          row.sum = offset(launch.outputs[1].data, i * row_bytes);
        }
        norm_row(row);
      }
    });
  }

 private:
  device::Device& device_;
  NormRow prototype_;
  bool residual_, bias_;
};

}  // namespace

const Tactic& rms_norm_cpu_rows() {
  static const Tactic tactic = {
      .name = "rms_norm_cpu_rows",
      .target = Target::kCpu,
      .candidates = claim<op::RmsNorm>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        const auto& norm = *desc.op.as<op::RmsNorm>();
        NormRow row{.group = norm.group, .eps = norm.eps, .unit_offset = norm.unit_offset};
        return std::unique_ptr<Kernel>(std::make_unique<NormKernel>(device, row, false, false));
      }};
  return tactic;
}

const Tactic& add_rms_norm_cpu_rows() {
  static const Tactic tactic = {
      .name = "add_rms_norm_cpu_rows",
      .target = Target::kCpu,
      .candidates = claim<op::AddRmsNorm>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        const auto& norm = *desc.op.as<op::AddRmsNorm>();
        NormRow row{.group = 0, .eps = norm.eps, .unit_offset = norm.unit_offset};
        return std::unique_ptr<Kernel>(std::make_unique<NormKernel>(device, row, true, false));
      }};
  return tactic;
}

const Tactic& layer_norm_cpu_rows() {
  static const Tactic tactic = {
      .name = "layer_norm_cpu_rows",
      .target = Target::kCpu,
      .candidates = claim<op::LayerNorm>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        const auto& norm = *desc.op.as<op::LayerNorm>();
        NormRow row{.group = norm.group, .eps = norm.eps, .centered = true};
        return std::unique_ptr<Kernel>(std::make_unique<NormKernel>(device, row, false, norm.bias));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cpu
