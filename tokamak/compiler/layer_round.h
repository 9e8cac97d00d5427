// SPDX-License-Identifier: Apache-2.0
// The second round of choosing: kernels that are fastest alone can be slower in a layer, where they
// overlap with their neighbours and fight for shared memory. So those that came close alone are
// tried within a whole layer, one problem after the other. Pure: who measures is a parameter.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "tokamak/base/result.h"

namespace tokamak::compiler {

/// Of each problem of a layer, which of its finalists runs.
using Assignment = std::vector<size_t>;

/// Microseconds of a layer with each of two assignments, measured in turns.
struct LayerTimes {
  double incumbent_us = 0, challenger_us = 0;
  bool steady = true;  ///< Both, as steady_time.h has it.
};
using CompareLayers =
    std::function<Result<LayerTimes>(const Assignment& incumbent, const Assignment& challenger)>;

/// What a layer said of one problem.
struct Verdict {
  size_t winner = 0;  ///< Of its finalists.
  /// Whom it took over from, else the one that came closest.
  size_t rival = 0;
  double layer_us = 0, rival_layer_us = 0;  ///< Of the layer with each; 0: nobody asked it.
};

/// A layer is no faster for a kernel unless by this share: what is less may be noise.
inline constexpr double kLayerGain = 0.005;

/// One pass of coordinate descent from the assignment of all first finalists: each finalist of each
/// problem runs against the winners so far. `num_finalists[p]`: of problem p, at least one. Errors:
/// those of `compare`.
Result<std::vector<Verdict>> decide(std::span<const size_t> num_finalists,
                                    const CompareLayers& compare);

}  // namespace tokamak::compiler
