// SPDX-License-Identifier: Apache-2.0
#include "tokamak/ir/functional.h"

namespace tokamak::ir {
namespace {

/// Appends to the graph of the first operand that has one; without any, the result is not valid.
Value append(op::Op op, std::vector<Value> inputs) {
  for (const Value& value : inputs) {
    if (value.valid()) return value.graph().apply(std::move(op), std::move(inputs));
  }
  return {};
}

Value product(Value x, Value w, Value bias, op::MatMul settings) {
  std::vector<Value> inputs = {x, w};
  settings.bias = bias.valid();
  if (settings.bias) inputs.push_back(bias);
  return append(settings, std::move(inputs));
}

}  // namespace

Value matmul(Value x, Value w) {
  return product(x, w, {}, {});
}
Value linear(Value x, Value w, Value bias) {
  return product(x, w, bias, {.transposed = true});
}
Value logits(Value x, Value w, Value bias) {
  return product(x, w, bias, {.transposed = true, .float_output = true});
}

Value activation(Value x, op::ActivationKind kind) {
  return append(op::Activation{.kind = kind}, {x});
}
Value relu(Value x) {
  return activation(x, op::ActivationKind::kRelu);
}
Value silu(Value x) {
  return activation(x, op::ActivationKind::kSilu);
}
Value gelu(Value x) {
  return activation(x, op::ActivationKind::kGelu);
}

Value operator+(Value a, Value b) {
  return append(op::Add{}, {a, b});
}
Value operator*(Value a, Value b) {
  return append(op::Mul{}, {a, b});
}
Value operator*(Value x, float factor) {
  return factor == 1.0f ? x : append(op::Scale{.factor = factor}, {x});
}
Value softcap(Value x, float cap) {
  return append(op::Softcap{.cap = cap}, {x});
}
Value slice(Value x, int64_t begin, int64_t size) {
  return append(op::Slice{.begin = begin, .size = size}, {x});
}

Value embedding(Value ids, Value table, int64_t offset) {
  return append(op::Embedding{.offset = offset}, {ids, table});
}
Value select_rows(Value x, Value rows) {
  return append(op::SelectRows{}, {x, rows});
}

Value rms_norm(Value x, Value weight, const op::RmsNorm& settings) {
  return append(settings, {x, weight});
}

Value layer_norm(Value x, Value weight, Value bias, op::LayerNorm settings) {
  settings.bias = bias.valid();
  std::vector<Value> inputs = {x, weight};
  if (settings.bias) inputs.push_back(bias);
  return append(settings, std::move(inputs));
}

Value rope(Value x, Value positions, const op::RotarySettings& settings, int64_t head_dim) {
  op::Rope attributes;
  static_cast<op::RotarySettings&>(attributes) = settings;
  attributes.head_dim = head_dim;
  return append(attributes, {x, positions});
}

Value attention(Value q, Value k, Value v, const op::AttentionSettings& settings) {
  op::Attention attributes;
  static_cast<op::AttentionSettings&>(attributes) = settings;
  return append(attributes, {q, k, v});
}

}  // namespace tokamak::ir
