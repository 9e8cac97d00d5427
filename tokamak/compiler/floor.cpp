// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/floor.h"

#include <algorithm>

#include "tokamak/compiler/trial.h"
#include "tokamak/op/attention.h"
#include "tokamak/op/matmul.h"

namespace tokamak::compiler {
namespace {

int64_t type_bytes(const TensorType& type, int64_t tokens) {
  return tensor::num_elements(type.resolve(tokens, tokens)) * tensor::dtype_bytes(type.dtype);
}

/// Tokens that the rows of a step see, all together, and those that any of them sees.
struct Visible {
  int64_t pairs = 0, tokens = 0;
};
Visible visible(const op::AttentionSettings& settings, int64_t tokens, bool decodes) {
  int64_t window = settings.window ? settings.window : std::numeric_limits<int64_t>::max();
  if (decodes) {
    int64_t all = tokens * std::min(window, TrialBatch::kContext);
    return {all, all};
  }
  int64_t ramp = std::min(window, tokens);  // The first rows see those before them.
  return {ramp * (ramp + 1) / 2 + (tokens - ramp) * ramp, tokens};
}

StepWork attend_work(const op::AttentionSettings& settings,
                     DType dtype,
                     int64_t tokens,
                     const device::Device& device) {
  Visible seen = visible(settings, tokens, TrialBatch::decodes(tokens, device));
  return {.bytes = 2 * seen.tokens * settings.num_kv_heads * settings.head_dim *
                   tensor::dtype_bytes(dtype),
          .flops = 4.0 * static_cast<double>(seen.pairs * settings.num_heads * settings.head_dim)};
}

}  // namespace

StepWork step_work(const kernels::KernelDesc& desc, int64_t tokens, const device::Device& device) {
  DType dtype = desc.outputs[0].dtype;
  if (auto settings = op::attention_settings(desc.op))
    return attend_work(*settings, dtype, tokens, device);
  StepWork work;
  if (desc.op.name() == "embedding") return work;  // Some rows of its table.
  for (size_t i = 0; i < desc.inputs.size(); ++i)
    work.bytes += desc.weights[i] ? type_bytes(desc.inputs[i], tokens) : 0;
  if (desc.op.as<op::MatMul>() || desc.op.as<op::NormMatMul>()) {
    int64_t products = tensor::num_elements(desc.inputs[1].resolve(tokens, tokens));
    work.flops = 2.0 * static_cast<double>(tokens) * static_cast<double>(products);
  }
  return work;
}

double floor_us(const StepWork& work, double read_bandwidth, double peak_flops) {
  if (read_bandwidth <= 0 || peak_flops <= 0) return 0;
  return 1e6 * std::max(static_cast<double>(work.bytes) / read_bandwidth, work.flops / peak_flops);
}

double floor_us(const StepWork& work, DType dtype, const device::Device& device) {
  return floor_us(work, device.read_bandwidth(), device.peak_flops(dtype));
}

}  // namespace tokamak::compiler
