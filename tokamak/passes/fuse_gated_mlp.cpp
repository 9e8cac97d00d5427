// SPDX-License-Identifier: Apache-2.0
// mul(act(slice(x, 0, F)), slice(x, F, F))  ->  gated_activation(x) {kind=act}     for x [T, 2F]
// gated_activation(matmul(x, w))            ->  matmul(x, w) {activation=…, gated=true}
#include "tokamak/op/elementwise.h"
#include "tokamak/op/matmul.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {
namespace {

bool fuse_halves(ir::Graph& graph, ir::Node* mul) {
  for (size_t gate : {0, 1}) {
    ir::Node* activation = sole_producer<op::Activation>(mul->input(gate));
    ir::Node* up = sole_producer<op::Slice>(mul->input(1 - gate));
    ir::Node* half = activation ? sole_producer<op::Slice>(activation->input(0)) : nullptr;
    if (!up || !half || up->input(0) != half->input(0)) continue;
    ir::Value x = up->input(0);
    int64_t width = half->as<op::Slice>()->size;
    bool halves = half->as<op::Slice>()->begin == 0 && up->as<op::Slice>()->begin == width &&
                  up->as<op::Slice>()->size == width && x.type().columns() == 2 * width;
    if (!halves) continue;
    op::GatedActivation gated{.kind = activation->as<op::Activation>()->kind};
    supersede(graph, mul->output(), graph.apply_before(mul, gated, {x}));
    return true;
  }
  return false;
}

bool fuse_epilogue(ir::Graph& graph, ir::Node* gated) {
  ir::Node* product = sole_producer<op::MatMul>(gated->input(0));
  if (!product) return false;
  op::MatMul settings = *product->as<op::MatMul>();
  if (settings.gated || settings.residual || settings.activation != op::ActivationKind::kNone)
    return false;
  settings.gated = true;
  settings.activation = gated->as<op::GatedActivation>()->kind;
  supersede(graph, gated->output(), graph.apply_before(gated, settings, product->inputs()));
  return true;
}

}  // namespace

Result<int> fuse_gated_mlp(ir::Graph& graph) {
  int fused = 0;
  for (ir::Node* mul : graph.all<op::Mul>()) fused += fuse_halves(graph, mul);
  for (ir::Node* gated : graph.all<op::GatedActivation>()) fused += fuse_epilogue(graph, gated);
  return fused;
}

}  // namespace tokamak::passes
