// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/activation.h"

#include <cmath>

namespace tokamak::op {

float apply(ActivationKind kind, float x) {
  switch (kind) {
    case ActivationKind::kNone:
      return x;
    case ActivationKind::kRelu:
      return x > 0 ? x : 0;
    case ActivationKind::kSilu:
      return x / (1.0f + std::exp(-x));
    case ActivationKind::kGelu:
      return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752f));
    case ActivationKind::kGeluTanh:
      return 0.5f * x * (1.0f + std::tanh(0.79788456080286536f * (x + 0.044715f * x * x * x)));
  }
  return x;
}

Result<Types> Activation::infer(const Activation&, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 1));
  TKM_RETURN_IF_ERROR(expect_float(kName, "x", inputs[0]));
  return Types{inputs[0]};
}

void Activation::reference(const Activation& a,
                           const BatchView&,
                           TensorSpan inputs,
                           TensorSpan outputs) {
  auto x = inputs[0].as<float>(), y = outputs[0].as<float>();
  for (size_t i = 0; i < x.size(); ++i) y[i] = apply(a.kind, x[i]);
}

Result<Types> GatedActivation::infer(const GatedActivation&, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 1));
  TKM_RETURN_IF_ERROR(expect_float(kName, "x", inputs[0]));
  TKM_RETURN_IF_ERROR(expect_rank(kName, "x", inputs[0], 2));
  if (inputs[0].columns() % 2)
    return type_error(kName, fmt::format("x has {} columns, must be even", inputs[0].columns()));
  return Types{{inputs[0].dtype, {inputs[0].shape[0], inputs[0].columns() / 2}}};
}

void GatedActivation::reference(const GatedActivation& a,
                                const BatchView&,
                                TensorSpan inputs,
                                TensorSpan outputs) {
  auto x = inputs[0].as<float>(), y = outputs[0].as<float>();
  size_t width = static_cast<size_t>(outputs[0].columns());
  for (size_t i = 0; i < y.size(); ++i) {
    size_t row = i / width, column = i % width;
    y[i] = apply(a.kind, x[row * 2 * width + column]) * x[row * 2 * width + width + column];
  }
}

}  // namespace tokamak::op
