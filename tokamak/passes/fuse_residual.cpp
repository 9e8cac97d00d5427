// SPDX-License-Identifier: Apache-2.0
// add(matmul(x, w), r)  ->  matmul(x, w, r) {residual=true}      in either order, r of y's type
//
// Runs before fuse_add_norm, which takes the sums that are left. For "matmul, add, norm" both ways
// cost two kernels; this one adds in fp32 before the result is rounded, and also takes the sums
// that no rms_norm follows directly: the last layer's (rows are selected first), and all of the
// families with layer_norm or parallel blocks.
#include "tokamak/op/elementwise.h"
#include "tokamak/op/matmul.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {
namespace {

bool fuse(ir::Graph& graph, ir::Node* add) {
  if (add->input(0).type() != add->input(1).type()) return false;
  for (size_t side : {1, 0}) {  // x + block(…): the product is on the right
    ir::Node* product = sole_producer<op::MatMul>(add->input(side));
    if (!product || product->as<op::MatMul>()->residual) continue;
    op::MatMul settings = *product->as<op::MatMul>();
    settings.residual = true;
    std::vector<ir::Value> inputs = product->inputs();
    inputs.push_back(add->input(1 - side));
    supersede(graph, add->output(), graph.apply_before(add, settings, std::move(inputs)));
    return true;
  }
  return false;
}

}  // namespace

Result<int> fuse_residual(ir::Graph& graph) {
  int fused = 0;
  for (ir::Node* add : graph.all<op::Add>()) fused += fuse(graph, add);
  return fused;
}

}  // namespace tokamak::passes
