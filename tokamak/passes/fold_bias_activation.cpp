// SPDX-License-Identifier: Apache-2.0
// add(matmul(x, w), b)      ->  matmul(x, w, b) {bias=true}          for one row b [N]
// activation(matmul(x, w))  ->  matmul(x, w) {activation=…}
//
// So relu(matmul(x, w) + b) becomes one op. Only a product that nothing else uses is folded: its
// plain result would be lost.
#include "tokamak/op/elementwise.h"
#include "tokamak/op/matmul.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {
namespace {

/// The product behind `value`, if its epilogue is still free.
ir::Node* plain_product(ir::Value value) {
  ir::Node* product = sole_producer<op::MatMul>(value);
  if (!product) return nullptr;
  const auto* settings = product->as<op::MatMul>();
  bool free =
      settings->activation == op::ActivationKind::kNone && !settings->gated && !settings->residual;
  return free ? product : nullptr;
}

bool fold_bias(ir::Graph& graph, ir::Node* add) {
  ir::Node* product = plain_product(add->input(0));
  ir::Value bias = add->input(1);
  if (!product || product->as<op::MatMul>()->bias || bias.type().rank() != 1) return false;
  op::MatMul settings = *product->as<op::MatMul>();
  settings.bias = true;
  supersede(graph,
            add->output(),
            graph.apply_before(add, settings, {product->input(0), product->input(1), bias}));
  return true;
}

bool fold_activation(ir::Graph& graph, ir::Node* activation) {
  ir::Node* product = plain_product(activation->input(0));
  if (!product) return false;
  op::MatMul settings = *product->as<op::MatMul>();
  settings.activation = activation->as<op::Activation>()->kind;
  supersede(
      graph, activation->output(), graph.apply_before(activation, settings, product->inputs()));
  return true;
}

}  // namespace

Result<int> fold_bias_activation(ir::Graph& graph) {
  int folded = 0;
  for (ir::Node* node : graph.nodes()) {
    if (node->as<op::Add>()) {
      folded += fold_bias(graph, node);
    } else if (node->as<op::Activation>()) {
      folded += fold_activation(graph, node);
    }
  }
  return folded;
}

}  // namespace tokamak::passes
