// SPDX-License-Identifier: Apache-2.0
// rms_norm(add(x, r), w)  ->  add_rms_norm(x, r, w), which returns the sum as its second result.
//
// Where the sum has the norm's shape: no broadcast row, no norm over heads. In the pipeline these
// are the sums that fuse_residual could not take: behind a norm of the block's result (Gemma 2 and
// 3, OLMo 2), a scaling (Granite) or, between ranks, an all-reduce.
#include "tokamak/op/elementwise.h"
#include "tokamak/op/norm.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {

Result<int> fuse_add_norm(ir::Graph& graph) {
  int fused = 0;
  for (ir::Node* norm : graph.all<op::RmsNorm>()) {
    const auto& settings = *norm->as<op::RmsNorm>();
    ir::Node* add = norm->input(0).producer<op::Add>();
    ir::Value weight = norm->input(1);
    if (!add || add->input(0).type() != add->input(1).type() || !weight.is_weight()) continue;
    if (weight.type().columns() != add->output().type().columns() || settings.group != 0) continue;
    // In the sum's place: what else uses it may stand before the norm.
    op::AddRmsNorm both{.eps = settings.eps, .unit_offset = settings.unit_offset};
    auto results = graph.apply_all_before(add, both, {add->input(0), add->input(1), weight});
    supersede(graph, add->output(), results[1]);
    supersede(graph, norm->output(), results[0]);
    ++fused;
  }
  return fused;
}

}  // namespace tokamak::passes
