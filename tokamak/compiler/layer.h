// SPDX-License-Identifier: Apache-2.0
// The part of a plan that repeats: of most models one layer, from its attention to the next one's;
// two where layers of two kinds take turns.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "tokamak/engine/plan.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::compiler {

struct LayerStep {
  /// Input `input` is output `output` of step `from`: of this layer if that stands before, else of
  /// the layer before.
  struct Read {
    size_t input, from, output;
  };
  size_t plan_step;
  size_t problem;  ///< Steps of one problem run the same kernel; numbered as they come.
  kernels::KernelDesc desc;
  std::vector<Read> reads;
};

struct Layer {
  std::vector<LayerStep> steps;
  size_t num_problems = 0;
};

/// The longest repetition in `plan`, once; nothing where no two neighbours are alike, or where a
/// step keeps state but does not attend (it has no batch to run on alone). `descs` and `problems`
/// are of the plan's steps; equal problems have equal numbers.
std::optional<Layer> find_layer(const engine::Plan& plan,
                                std::span<const kernels::KernelDesc> descs,
                                std::span<const size_t> problems);

}  // namespace tokamak::compiler
