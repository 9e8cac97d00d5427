// SPDX-License-Identifier: Apache-2.0
// matmul(rms_norm(x, g), w, …)  ->  norm_matmul(x, w, …, g)
//
// For targets whose products norm what they multiply. Only a norm of whole rows whose one user is
// the product: merged projections are, the norm before parallel blocks is not.
#include "tokamak/op/matmul.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {
namespace {

bool norms_rows(const ir::Node& norm) {
  return norm.as<op::RmsNorm>()->group == 0 && norm.input(1).is_weight() &&
         norm.input(1).type().columns() == norm.input(0).type().columns();
}

}  // namespace

Result<int> fuse_norm_matmul(ir::Graph& graph) {
  int fused = 0;
  for (ir::Node* product : graph.all<op::MatMul>()) {
    ir::Node* norm = sole_producer<op::RmsNorm>(product->input(0));
    if (!norm || !norms_rows(*norm)) continue;
    op::NormMatMul both(*norm->as<op::RmsNorm>(), *product->as<op::MatMul>());
    std::vector<ir::Value> inputs = product->inputs();
    inputs[0] = norm->input(0);
    inputs.push_back(norm->input(1));
    supersede(graph, product->output(), graph.apply_before(product, both, std::move(inputs)));
    ++fused;
  }
  return fused;
}

}  // namespace tokamak::passes
