// SPDX-License-Identifier: Apache-2.0
// The rewrites of a graph: one file each, whose header comment shows the rewrite, and one .ir text
// test of the same name. A pass never changes results beyond rounding, leaves a graph that
// verifies, and finds nothing to do on its own result. Each returns the number of rewrites.
#pragma once

#include "tokamak/ir/graph.h"

namespace tokamak::passes {

Result<int> fold_transpose(ir::Graph& graph);
Result<int> fold_bias_activation(ir::Graph& graph);
Result<int> merge_projections(ir::Graph& graph);
Result<int> fuse_rope_append(ir::Graph& graph);
Result<int> fuse_gated_mlp(ir::Graph& graph);
Result<int> fuse_residual(ir::Graph& graph);
Result<int> fuse_add_norm(ir::Graph& graph);
Result<int> fuse_rope_attend(ir::Graph& graph);
Result<int> fuse_norm_matmul(ir::Graph& graph);
Result<int> eliminate_dead_code(ir::Graph& graph);

}  // namespace tokamak::passes
