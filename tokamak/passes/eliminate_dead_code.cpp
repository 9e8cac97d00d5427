// SPDX-License-Identifier: Apache-2.0
// %y = scale(%x); return %x  ->  return %x
//
// Nodes whose results nobody uses, except those that write the key/value cache; then weights that
// nobody uses. Inputs are the graph's interface: they stay.
#include <algorithm>

#include "tokamak/passes/passes.h"

namespace tokamak::passes {

Result<int> eliminate_dead_code(ir::Graph& graph) {
  int erased = 0;
  std::vector<ir::Node*> nodes = graph.nodes();
  std::reverse(nodes.begin(), nodes.end());  // users before producers
  for (ir::Node* node : nodes) {
    bool used = node->op().has_state();
    for (size_t i = 0; i < node->num_outputs(); ++i)
      used = used || !node->output(i).users().empty() || graph.is_output(node->output(i));
    if (used) continue;
    graph.erase(node);
    ++erased;
  }
  return erased + graph.erase_unused_weights();
}

}  // namespace tokamak::passes
