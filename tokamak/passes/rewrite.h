// SPDX-License-Identifier: Apache-2.0
// What the passes share: taking the place of a value, and a few questions about its producer.
#pragma once

#include "tokamak/ir/graph.h"
#include "tokamak/op/norm.h"

namespace tokamak::passes {

/// The producer of `value`, if it is a T and nothing else uses the value: it may be fused away.
template <typename T>
ir::Node* sole_producer(ir::Value value) {
  return value.has_one_use() ? value.producer<T>() : nullptr;
}

/// Every use of `from` becomes a use of `to`, which takes over its name; the producer of `from` is
/// erased, and what only it needed.
void supersede(ir::Graph& graph, ir::Value from, ir::Value to);

/// A weight called `name`, or, if something else has that name, one that begins so.
ir::Value derived_weight(ir::Graph& graph,
                         std::string name,
                         TensorType type,
                         std::vector<WeightPart> parts);

/// The settings of `node` if it is an rms_norm of heads of `head_dim` by one weight for all heads,
/// else null.
const op::RmsNorm* head_norm(const ir::Node* node, int64_t head_dim);

}  // namespace tokamak::passes
