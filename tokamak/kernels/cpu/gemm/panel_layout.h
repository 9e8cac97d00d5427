// SPDX-License-Identifier: Apache-2.0
// The layout that all packed matmuls of the cpu target share.
//
// A weight [N, K] is cut into panels of 32 outputs. A panel holds, for each step along K, 32 words
// of 4 bytes, one an output: a word is one f32, or two consecutive bf16 (k, k + 1), low half first;
// an odd K is padded with one zero. A panel is therefore one sequential stream of 128 bytes a step:
// two cache lines, two AVX-512 registers.
//
// A gated weight [2F, K] has 16 gate outputs and their 16 up outputs in a panel, so that one tile
// of sums has both halves of each result. Lanes past the last output are never written and their
// sums never stored.
#pragma once

#include "tokamak/kernels/kernel.h"

namespace tokamak::kernels::cpu {

inline constexpr int64_t kPanelOutputs = 32;

struct PanelShape {
  int64_t outputs = 0;  ///< N
  int64_t depth = 0;    ///< K
  bool pairs = false;   ///< bf16: two elements a word.
  bool gated = false;

  int64_t steps() const { return pairs ? (depth + 1) / 2 : depth; }
  int64_t panel_bytes() const { return steps() * kPanelOutputs * 4; }
  /// Result columns a panel makes, and how many there are.
  int64_t panel_columns() const { return gated ? kPanelOutputs / 2 : kPanelOutputs; }
  int64_t columns() const { return gated ? outputs / 2 : outputs; }
  int64_t num_panels() const { return (columns() + panel_columns() - 1) / panel_columns(); }
};

/// Of input 1 of a matmul (transposed) or an embedding.
PanelShape panel_shape(const KernelDesc& desc);

/// Writes row `row` of the packed weight, row-major, to `to`.
void unpack_row(const PanelShape& shape, const void* packed, int64_t row, void* to);

/// "cpu_panel32", for weights in bf16 and f32.
const WeightLayout& panel_layout();

}  // namespace tokamak::kernels::cpu
