// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/elementwise.h"

#include <cmath>

namespace tokamak::op {
namespace {

/// b may be a's type or one row of it.
Result<Types> infer_broadcast(std::string_view op, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(op, inputs, 2));
  TKM_RETURN_IF_ERROR(expect_float(op, "a", inputs[0]));
  const TensorType &a = inputs[0], &b = inputs[1];
  bool row = b.rank() == 1 && a.rank() >= 1 && b.dtype == a.dtype && b.shape[0] == a.shape.back();
  if (a != b && !row)
    return type_error(op, fmt::format("a is {}, but b is {}", a.text(), b.text()));
  return Types{a};
}

template <typename F>
void broadcast(TensorSpan inputs, TensorSpan outputs, F f) {
  auto a = inputs[0].as<float>(), b = inputs[1].as<float>(), y = outputs[0].as<float>();
  for (size_t i = 0; i < a.size(); ++i) y[i] = f(a[i], b[i % b.size()]);
}

Result<Types> infer_unary(std::string_view op, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(op, inputs, 1));
  TKM_RETURN_IF_ERROR(expect_float(op, "x", inputs[0]));
  return Types{inputs[0]};
}

}  // namespace

Result<Types> Add::infer(const Add&, TypeSpan inputs) {
  return infer_broadcast(kName, inputs);
}
void Add::reference(const Add&, const BatchView&, TensorSpan inputs, TensorSpan outputs) {
  broadcast(inputs, outputs, [](float a, float b) { return a + b; });
}

Result<Types> Mul::infer(const Mul&, TypeSpan inputs) {
  return infer_broadcast(kName, inputs);
}
void Mul::reference(const Mul&, const BatchView&, TensorSpan inputs, TensorSpan outputs) {
  broadcast(inputs, outputs, [](float a, float b) { return a * b; });
}

Result<Types> Scale::infer(const Scale& s, TypeSpan inputs) {
  if (!std::isfinite(s.factor))
    return type_error(kName, fmt::format("factor is {}, must be finite", s.factor));
  return infer_unary(kName, inputs);
}
void Scale::reference(const Scale& s, const BatchView&, TensorSpan inputs, TensorSpan outputs) {
  auto x = inputs[0].as<float>(), y = outputs[0].as<float>();
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * s.factor;
}

Result<Types> Softcap::infer(const Softcap& s, TypeSpan inputs) {
  if (!(s.cap > 0) || !std::isfinite(s.cap))
    return type_error(kName, fmt::format("cap is {}, must be positive", s.cap));
  return infer_unary(kName, inputs);
}
void Softcap::reference(const Softcap& s, const BatchView&, TensorSpan inputs, TensorSpan outputs) {
  auto x = inputs[0].as<float>(), y = outputs[0].as<float>();
  for (size_t i = 0; i < x.size(); ++i) y[i] = s.cap * std::tanh(x[i] / s.cap);
}

Result<Types> Slice::infer(const Slice& s, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 1));
  TKM_RETURN_IF_ERROR(expect_rank(kName, "x", inputs[0], 2));
  int64_t columns = inputs[0].columns();
  if (s.begin < 0 || s.size <= 0 || s.begin > columns - s.size) {
    return type_error(
        kName, fmt::format("{} columns from {} of x, which has {}", s.size, s.begin, columns));
  }
  return Types{{inputs[0].dtype, {inputs[0].shape[0], s.size}}};
}
void Slice::reference(const Slice& s, const BatchView&, TensorSpan inputs, TensorSpan outputs) {
  auto x = inputs[0].as<float>(), y = outputs[0].as<float>();
  size_t from = static_cast<size_t>(inputs[0].columns()), to = static_cast<size_t>(s.size);
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = x[i / to * from + static_cast<size_t>(s.begin) + i % to];
}

}  // namespace tokamak::op
