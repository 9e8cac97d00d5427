// SPDX-License-Identifier: Apache-2.0
// q, k, v = matmul(x, wq), matmul(x, wk), matmul(x, wv)   which meet in one attention
// gate, up = matmul(x, wg), matmul(x, wu)                 which meet in act(gate) * up
//   ->  y = matmul(x, wq + wk + wv); q, k, v = slices of y
//
// One wide product reads x once and fills the device better than two or three narrow ones. The
// merged weight is made of the parts of the others, one below the other; biases likewise.
//
// Kept apart: weights that something else uses too (they would be in memory twice), and q, k, v
// with a norm over the whole row (OLMo 2): fuse_rope_append cannot take those, and then each slice
// would be a copy of its own.
#include <algorithm>
#include <iterator>

#include "tokamak/op/attention.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/op/matmul.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {
namespace {

using Products = std::vector<ir::Node*>;

std::vector<std::string> segments(const std::string& name) {
  std::vector<std::string> out(1);
  for (char c : name) {
    if (c == '.')
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

/// "mlp.gate.weight", "mlp.up.weight" -> "mlp.gate+up.weight"; names that differ in more than one
/// place are joined whole.
std::string joined_name(const std::vector<ir::Value>& weights) {
  std::string whole;
  std::vector<std::string> joined = segments(weights[0].name());
  std::vector<std::string> first = joined;
  size_t differing = first.size();
  bool alike = true;
  for (size_t i = 0; i < weights.size(); ++i) {
    whole += (i ? "+" : "") + weights[i].name();
    std::vector<std::string> next = segments(weights[i].name());
    alike = alike && next.size() == first.size();
    for (size_t s = 0; i && alike && s < next.size(); ++s) {
      if (next[s] == first[s]) continue;
      alike = differing == first.size() || differing == s;
      differing = s;
      joined[s] += "+" + next[s];
    }
  }
  if (!alike) return whole;
  std::string name;
  for (const std::string& segment : joined) name += (name.empty() ? "" : ".") + segment;
  return name;
}

/// Input `index` of all products, one below the other.
ir::Value stacked_weight(ir::Graph& graph, const Products& products, size_t index) {
  std::vector<ir::Value> weights;
  std::vector<WeightPart> parts;
  TensorType type = products[0]->input(index).type();
  int64_t rows = 0;
  for (const ir::Node* product : products) {
    ir::Value w = product->input(index);
    weights.push_back(w);
    parts.insert(parts.end(), w.parts().begin(), w.parts().end());
    rows += w.type().shape[0].size;
  }
  type.shape[0] = rows;
  return derived_weight(graph, joined_name(weights), std::move(type), std::move(parts));
}

bool is_own_weight(ir::Value value) {
  return value.is_weight() && value.has_one_use();
}

/// Every product is a plain linear layer of the same x with a weight (and bias) of its own. The
/// first may have an activation if `gate`.
bool mergeable(const Products& products, bool gate) {
  for (size_t i = 0; i < products.size(); ++i) {
    if (!products[i] || products[i]->input(0) != products[0]->input(0)) return false;
    op::MatMul settings = *products[i]->as<op::MatMul>();
    if (gate && i == 0) settings.activation = op::ActivationKind::kNone;
    op::MatMul plain = {.transposed = true,
                        .bias = products[0]->as<op::MatMul>()->bias,
                        .float_output = products[0]->as<op::MatMul>()->float_output};
    if (!base::fields_equal(settings, plain)) return false;
    for (size_t w = 1; w < products[i]->num_inputs(); ++w) {
      bool same_dtype = products[i]->input(w).type().dtype == products[0]->input(w).type().dtype;
      if (!is_own_weight(products[i]->input(w)) || !same_dtype) return false;
    }
  }
  return true;
}

ir::Node* first_in_order(const ir::Graph& graph, const Products& products) {
  std::vector<ir::Node*> nodes = graph.nodes();
  return *std::find_first_of(nodes.begin(), nodes.end(), products.begin(), products.end());
}

void merge(ir::Graph& graph, const Products& products) {
  ir::Node* place = first_in_order(graph, products);
  auto settings = *products[0]->as<op::MatMul>();
  settings.activation = op::ActivationKind::kNone;
  std::vector<ir::Value> inputs = {products[0]->input(0), stacked_weight(graph, products, 1)};
  if (settings.bias) inputs.push_back(stacked_weight(graph, products, 2));
  ir::Value merged = graph.apply_before(place, settings, std::move(inputs));
  std::vector<ir::Value> results;
  int64_t begin = 0;
  for (const ir::Node* product : products) {
    int64_t size = product->output().type().columns();
    ir::Value y = graph.apply_before(place, op::Slice{.begin = begin, .size = size}, {merged});
    op::ActivationKind kind = product->as<op::MatMul>()->activation;
    if (kind != op::ActivationKind::kNone)
      y = graph.apply_before(place, op::Activation{.kind = kind}, {y});
    results.push_back(y);
    begin += size;
  }
  for (size_t i = 0; i < products.size(); ++i) supersede(graph, products[i]->output(), results[i]);
}

/// The product behind an operand of attention: through rotations and norms of heads.
ir::Node* projection(ir::Value value, int64_t head_dim) {
  while (value.has_one_use()) {
    ir::Node* node = value.producer();
    if (!node || node->as<op::MatMul>()) return node;
    if (!node->as<op::Rope>() && !head_norm(node, head_dim)) return nullptr;
    value = node->input(0);
  }
  return nullptr;
}

bool merge_attention(ir::Graph& graph, const ir::Node* attention) {
  Products products;
  for (const ir::Value& operand : attention->inputs())
    products.push_back(projection(operand, attention->as<op::Attention>()->head_dim));
  if (!mergeable(products, /*gate=*/false)) return false;
  merge(graph, products);
  return true;
}

/// The product of `act(gate)`, whose activation may already be part of it.
ir::Node* gate_product(ir::Value value) {
  if (ir::Node* activation = sole_producer<op::Activation>(value))
    return sole_producer<op::MatMul>(activation->input(0));
  ir::Node* product = sole_producer<op::MatMul>(value);
  bool active = product && product->as<op::MatMul>()->activation != op::ActivationKind::kNone;
  return active ? product : nullptr;
}

bool merge_gated(ir::Graph& graph, const ir::Node* mul) {
  for (size_t gate : {0, 1}) {
    Products products = {gate_product(mul->input(gate)),
                         sole_producer<op::MatMul>(mul->input(1 - gate))};
    if (!mergeable(products, /*gate=*/true)) continue;
    if (products[0]->output().type() != products[1]->output().type()) continue;
    merge(graph, products);
    return true;
  }
  return false;
}

}  // namespace

Result<int> merge_projections(ir::Graph& graph) {
  int merged = 0;
  for (ir::Node* node : graph.nodes()) {
    // The snapshot also holds products that were merged away: only these two kinds are looked at.
    if (node->as<op::Attention>()) {
      merged += merge_attention(graph, node);
    } else if (node->as<op::Mul>()) {
      merged += merge_gated(graph, node);
    }
  }
  return merged;
}

}  // namespace tokamak::passes
