// SPDX-License-Identifier: Apache-2.0
// The functional API: `Value y = relu(matmul(x, w) + b);` appends to the graph of its operands.
#pragma once

#include "tokamak/ir/graph.h"
#include "tokamak/op/activation.h"
#include "tokamak/op/attention.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/op/gather.h"
#include "tokamak/op/matmul.h"
#include "tokamak/op/norm.h"

namespace tokamak::ir {

/// x @ w for w [K, N].
Value matmul(Value x, Value w);
/// x @ w^T (+ bias) for w [N, K], as checkpoints store linear layers. A bias that is not valid is
/// left out.
Value linear(Value x, Value w, Value bias = {});
/// linear() with an f32 result.
Value logits(Value x, Value w, Value bias = {});

Value activation(Value x, op::ActivationKind kind);
Value relu(Value x);
Value silu(Value x);
Value gelu(Value x);

Value operator+(Value a, Value b);
Value operator*(Value a, Value b);
Value operator*(Value x, float factor);
Value softcap(Value x, float cap);
Value slice(Value x, int64_t begin, int64_t size);

Value embedding(Value ids, Value table, int64_t offset = 0);
Value select_rows(Value x, Value rows);

Value rms_norm(Value x, Value weight, const op::RmsNorm& settings);
Value layer_norm(Value x, Value weight, Value bias, op::LayerNorm settings);
Value rope(Value x, Value positions, const op::RotarySettings& settings, int64_t head_dim);
Value attention(Value q, Value k, Value v, const op::AttentionSettings& settings);

}  // namespace tokamak::ir
