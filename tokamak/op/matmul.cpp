// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/matmul.h"

#include <vector>

namespace tokamak::op {

Result<Types> MatMul::infer(const MatMul& m, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, m.num_inputs()));
  for (size_t i = 0; i < 2; ++i) {
    TKM_RETURN_IF_ERROR(expect_float(kName, i ? "w" : "x", inputs[i]));
    TKM_RETURN_IF_ERROR(expect_rank(kName, i ? "w" : "x", inputs[i], 2));
  }
  const TensorType &x = inputs[0], &w = inputs[1];
  if (!w.shape[0].is_constant() || !w.shape[1].is_constant())
    return type_error(kName, "w has a symbolic shape: " + w.text());
  int64_t k = w.shape[m.transposed ? 1 : 0].size, n = w.shape[m.transposed ? 0 : 1].size;
  if (x.columns() != k)
    return type_error(kName, fmt::format("x has {} columns, but w takes {}", x.columns(), k));
  if (m.gated && n % 2)
    return type_error(kName, fmt::format("gated, but w has {} outputs, an odd number", n));
  int64_t columns = m.gated ? n / 2 : n;
  TensorType y{m.float_output ? DType::kF32 : x.dtype, {x.shape[0], columns}};
  if (m.bias) TKM_RETURN_IF_ERROR(expect_float(kName, "bias", inputs[2]));
  if (m.bias && (inputs[2].rank() != 1 || inputs[2].shape[0] != Dim(n))) {
    return type_error(kName, fmt::format("bias is {}, but w has {} outputs", inputs[2].text(), n));
  }
  if (m.residual && inputs[m.num_inputs() - 1] != y) {
    return type_error(
        kName,
        fmt::format("residual is {}, but y is {}", inputs[m.num_inputs() - 1].text(), y.text()));
  }
  return Types{y};
}

void MatMul::reference(const MatMul& m, const BatchView&, TensorSpan inputs, TensorSpan outputs) {
  auto x = inputs[0].as<float>(), w = inputs[1].as<float>(), y = outputs[0].as<float>();
  size_t k = static_cast<size_t>(inputs[0].columns());
  size_t n = static_cast<size_t>(inputs[1].shape[m.transposed ? 0 : 1]);
  size_t columns = static_cast<size_t>(outputs[0].columns());
  size_t rows = k ? x.size() / k : 0;
  std::vector<float> sums(n);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t j = 0; j < n; ++j) {
      double sum = 0;  // fp64 inside, so that the oracle's own rounding does not count.
      for (size_t i = 0; i < k; ++i)
        sum += static_cast<double>(x[row * k + i]) * (m.transposed ? w[j * k + i] : w[i * n + j]);
      sums[j] = static_cast<float>(sum) + (m.bias ? inputs[2].as<float>()[j] : 0.0f);
    }
    for (size_t j = 0; j < columns; ++j) {
      float value = apply(m.activation, sums[j]) * (m.gated ? sums[columns + j] : 1.0f);
      if (m.residual) value += inputs[m.num_inputs() - 1].as<float>()[row * columns + j];
      y[row * columns + j] = value;
    }
  }
}

NormMatMul::NormMatMul(const RmsNorm& norm, const MatMul& matmul)
    : MatMul(matmul), eps(norm.eps), unit_offset(norm.unit_offset) {}

RmsNorm NormMatMul::norm() const {
  return {.eps = eps, .unit_offset = unit_offset};
}

Result<Types> NormMatMul::infer(const NormMatMul& m, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, m.num_inputs()));
  const TensorType &x = inputs[0], &norm = inputs.back();
  TKM_RETURN_IF_ERROR(expect_float(kName, "norm", norm));
  TKM_RETURN_IF_ERROR(expect_rank(kName, "x", x, 2));
  if (norm.rank() != 1 || norm.shape[0] != Dim(x.columns())) {
    return type_error(kName,
                      fmt::format("norm is {}, but x has {} columns", norm.text(), x.columns()));
  }
  return MatMul::infer(m, inputs.first(inputs.size() - 1));
}

void NormMatMul::reference(const NormMatMul& m,
                           const BatchView& batch,
                           TensorSpan inputs,
                           TensorSpan outputs) {
  Tensor normed(DType::kF32, inputs[0].shape);
  TensorView x = normed.view(), norm_inputs[] = {inputs[0], inputs.back()};
  RmsNorm::reference(m.norm(), batch, norm_inputs, std::span(&x, 1));
  std::vector<TensorView> rest(inputs.begin(), inputs.end() - 1);
  rest[0] = x;
  MatMul::reference(m, batch, rest, outputs);
}

}  // namespace tokamak::op
