// SPDX-License-Identifier: Apache-2.0
// attend(rope_append(qkv, …))  ->  rope_attend(qkv, …)
//
// For targets that attend while they append: one kernel fewer a layer, and the cache is on its way
// while the projections are still being computed.
#include "tokamak/op/attention.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {

Result<int> fuse_rope_attend(ir::Graph& graph) {
  int fused = 0;
  for (ir::Node* node : graph.all<op::Attend>()) {
    ir::Node* append = sole_producer<op::RopeAppend>(node->input(0));
    const auto& attend = *node->as<op::Attend>();
    if (!append || append->as<op::RopeAppend>()->layer != attend.layer) continue;
    op::RopeAttend both(*append->as<op::RopeAppend>(), attend);
    supersede(graph, node->output(), graph.apply_before(node, both, append->inputs()));
    graph.erase(append);  // What has state does not go by itself.
    ++fused;
  }
  return fused;
}

}  // namespace tokamak::passes
