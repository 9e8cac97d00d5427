// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/norm.h"

#include <cmath>
#include <vector>

namespace tokamak::op {
namespace {

Result<void> expect_weight(std::string_view op,
                           std::string_view name,
                           const TensorType& x,
                           const TensorType& weight,
                           int64_t group,
                           float eps) {
  TKM_RETURN_IF_ERROR(expect_float(op, "x", x));
  TKM_RETURN_IF_ERROR(expect_rank(op, "x", x, 2));
  TKM_RETURN_IF_ERROR(expect_float(op, name, weight));
  TKM_RETURN_IF_ERROR(expect_rank(op, name, weight, 1));
  if (!weight.shape[0].is_constant())
    return type_error(op, fmt::format("{} is {}, must have a constant size", name, weight.text()));
  if (!(eps >= 0) || !std::isfinite(eps))
    return type_error(op, fmt::format("eps is {}, must be finite and not negative", eps));
  int64_t length = weight.columns();
  if (length <= 0 || x.columns() % length) {
    return type_error(op,
                      fmt::format("{} has {} elements, which do not divide the {} columns of x",
                                  name,
                                  length,
                                  x.columns()));
  }
  if (group < 0 || (group > 0 && length % group))
    return type_error(op, fmt::format("group {} does not divide {} {}", group, name, length));
  return {};
}

struct Moments {
  double mean, mean_square;
};
Moments moments(const float* x, size_t count) {
  double sum = 0, squares = 0;
  for (size_t i = 0; i < count; ++i) {
    sum += x[i];
    squares += static_cast<double>(x[i]) * x[i];
  }
  return {sum / static_cast<double>(count), squares / static_cast<double>(count)};
}

void rms_norm(std::span<const float> x,
              std::span<const float> weight,
              size_t group,
              float eps,
              bool unit_offset,
              std::span<float> y) {
  for (size_t begin = 0; begin < x.size(); begin += group) {
    double scale = 1.0 / std::sqrt(moments(&x[begin], group).mean_square + eps);
    for (size_t i = begin; i < begin + group; ++i) {
      float w = weight[i % weight.size()] + (unit_offset ? 1.0f : 0.0f);
      y[i] = static_cast<float>(x[i] * scale) * w;
    }
  }
}

}  // namespace

Result<Types> RmsNorm::infer(const RmsNorm& n, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 2));
  TKM_RETURN_IF_ERROR(expect_weight(kName, "weight", inputs[0], inputs[1], n.group, n.eps));
  return Types{inputs[0]};
}

void RmsNorm::reference(const RmsNorm& n, const BatchView&, TensorSpan inputs, TensorSpan outputs) {
  auto weight = inputs[1].as<float>();
  size_t group = n.group ? static_cast<size_t>(n.group) : weight.size();
  rms_norm(inputs[0].as<float>(), weight, group, n.eps, n.unit_offset, outputs[0].as<float>());
}

Result<Types> AddRmsNorm::infer(const AddRmsNorm& n, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 3));
  if (inputs[0] != inputs[1])
    return type_error(
        kName, fmt::format("x is {}, but residual is {}", inputs[0].text(), inputs[1].text()));
  TKM_RETURN_IF_ERROR(expect_weight(kName, "weight", inputs[0], inputs[2], 0, n.eps));
  return Types{inputs[0], inputs[0]};
}

void AddRmsNorm::reference(const AddRmsNorm& n,
                           const BatchView&,
                           TensorSpan inputs,
                           TensorSpan outputs) {
  auto x = inputs[0].as<float>(), residual = inputs[1].as<float>(), weight = inputs[2].as<float>();
  auto sum = outputs[1].as<float>();
  for (size_t i = 0; i < x.size(); ++i) sum[i] = x[i] + residual[i];
  rms_norm(sum, weight, weight.size(), n.eps, n.unit_offset, outputs[0].as<float>());
}

Result<Types> LayerNorm::infer(const LayerNorm& n, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, n.bias ? 3 : 2));
  TKM_RETURN_IF_ERROR(expect_weight(kName, "weight", inputs[0], inputs[1], n.group, n.eps));
  if (n.bias && inputs[2] != inputs[1])
    return type_error(
        kName, fmt::format("weight is {}, but bias is {}", inputs[1].text(), inputs[2].text()));
  return Types{inputs[0]};
}

void LayerNorm::reference(const LayerNorm& n,
                          const BatchView&,
                          TensorSpan inputs,
                          TensorSpan outputs) {
  auto x = inputs[0].as<float>(), weight = inputs[1].as<float>(), y = outputs[0].as<float>();
  size_t group = n.group ? static_cast<size_t>(n.group) : weight.size();
  for (size_t begin = 0; begin < x.size(); begin += group) {
    double mean = moments(&x[begin], group).mean, variance = 0;
    for (size_t i = begin; i < begin + group; ++i) variance += (x[i] - mean) * (x[i] - mean);
    double scale = 1.0 / std::sqrt(variance / static_cast<double>(group) + n.eps);
    for (size_t i = begin; i < begin + group; ++i) {
      float bias = n.bias ? inputs[2].as<float>()[i % weight.size()] : 0.0f;
      y[i] = static_cast<float>((x[i] - mean) * scale) * weight[i % weight.size()] + bias;
    }
  }
}

}  // namespace tokamak::op
