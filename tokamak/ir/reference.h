// SPDX-License-Identifier: Apache-2.0
// Runs any graph by its ops' fp32 references: the oracle of passes.
#pragma once

#include <map>

#include "tokamak/ir/graph.h"

namespace tokamak::ir {

/// Input values and checkpoint tensors by name; floats as f32, ids as i32. Weights made of several
/// parts are put together here.
using TensorMap = std::map<std::string, Tensor, std::less<>>;

/// The rows of a weight, from the checkpoint tensors that its parts name. Errors: not_found,
/// invalid (shapes that do not add up).
Result<Tensor> assemble_weight(const TensorMap& checkpoint, Value weight);

/// Runs the graph on one sequence that is `num_tokens` long with an empty cache; R is taken from
/// the i32 input called "rows", if any. Returns the outputs as f32. Errors: not_found (an input, a
/// tensor), invalid (one of another shape), the type errors of the graph.
Result<std::vector<Tensor>> run_reference(const Graph& graph,
                                          const TensorMap& inputs,
                                          const TensorMap& checkpoint,
                                          int64_t num_tokens);

}  // namespace tokamak::ir
