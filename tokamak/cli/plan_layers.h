// SPDX-License-Identifier: Apache-2.0
// A plan's steps by the model's layers, like layers once.
#pragma once

#include <string>
#include <vector>

#include "tokamak/engine/plan.h"

namespace tokamak::cli {

/// The problem that a step solves, without the number of its layer.
std::string problem_text(const engine::Plan& plan, const engine::PlanStep& step);

/// Steps that follow each other: of one layer, or of what stands before or behind all layers.
/// Layers of the same problems and choices are one kind.
struct LayerKind {
  std::vector<int64_t> layers;  ///< Numbers, ascending; empty before and behind the layers.
  std::vector<const engine::PlanStep*> steps;  ///< Of the first of them.
  /// "layers 0 to 31", "layers 0, 2, 4", "before the layers" or "behind the layers".
  std::string title;
};
/// In the order in which they first run.
std::vector<LayerKind> layer_kinds(const engine::Plan& plan);

}  // namespace tokamak::cli
