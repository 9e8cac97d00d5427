// SPDX-License-Identifier: Apache-2.0
// matmul(x, w) with w [K, N]  ->  matmul(x, w^T) {transposed=true}
//
// Targets see one form of linear layer. The transposition is a note on the weight's part, made
// while loading. Weights of several parts (stacked over K) or with normalized rows have no such
// form and stay.
#include "tokamak/op/matmul.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {

Result<int> fold_transpose(ir::Graph& graph) {
  int folded = 0;
  for (ir::Node* product : graph.all<op::MatMul>()) {
    op::MatMul settings = *product->as<op::MatMul>();
    ir::Value w = product->input(1);
    if (settings.transposed || !w.is_weight()) continue;
    if (w.parts().size() != 1 || w.parts()[0].normalize_rows) continue;
    WeightPart part = w.parts()[0];
    part.transposed = !part.transposed;
    part.rows = w.type().shape[1].size;
    std::vector<ir::Value> inputs = product->inputs();
    TensorType type{w.type().dtype, {w.type().shape[1], w.type().shape[0]}};
    inputs[1] = derived_weight(graph, w.name() + ".transposed", type, {part});
    settings.transposed = true;
    supersede(graph, product->output(), graph.apply_before(product, settings, std::move(inputs)));
    ++folded;
  }
  return folded;
}

}  // namespace tokamak::passes
