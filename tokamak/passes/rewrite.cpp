// SPDX-License-Identifier: Apache-2.0
#include "tokamak/passes/rewrite.h"

#include <set>

namespace tokamak::passes {
namespace {

bool is_unused(const ir::Graph& graph, const ir::Node* node) {
  for (size_t i = 0; i < node->num_outputs(); ++i) {
    if (!node->output(i).users().empty() || graph.is_output(node->output(i))) return false;
  }
  return true;
}

}  // namespace

void supersede(ir::Graph& graph, ir::Value from, ir::Value to) {
  std::string name = from.name();
  ir::Node* old = from.producer();
  graph.replace(from, to);
  if (!is_unused(graph, old)) return;
  std::set<ir::Node*> unused = {old};
  while (!unused.empty()) {
    ir::Node* node = *unused.begin();
    unused.erase(unused.begin());
    std::vector<ir::Value> inputs = node->inputs();
    graph.erase(node);
    for (const ir::Value& input : inputs) {
      ir::Node* producer = input.producer();
      if (!producer || producer == to.producer())
        continue;  // What nobody reads may be replaced too.
      if (!producer->op().has_state() && is_unused(graph, producer)) unused.insert(producer);
    }
  }
  graph.rename(to, std::move(name));
}

ir::Value derived_weight(ir::Graph& graph,
                         std::string name,
                         TensorType type,
                         std::vector<WeightPart> parts) {
  for (ir::Value taken; (taken = graph.find(name)).valid(); name += "+") {
    if (taken.is_weight() && taken.type() == type && taken.parts() == parts) return taken;
  }
  return graph.weight(std::move(name), std::move(type), std::move(parts));
}

const op::RmsNorm* head_norm(const ir::Node* node, int64_t head_dim) {
  const auto* norm = node ? node->as<op::RmsNorm>() : nullptr;
  if (!norm || !node->input(1).is_weight()) return nullptr;
  bool one_weight = node->input(1).type().shape[0] == Dim(head_dim);
  return one_weight && (norm->group == 0 || norm->group == head_dim) ? norm : nullptr;
}

}  // namespace tokamak::passes
