// SPDX-License-Identifier: Apache-2.0
// The inner products of the packed matmuls: a few tokens times one panel of 32 outputs. One set of
// functions for each pair of dtypes and instruction set; the drivers do not know which they run.
#pragma once

#include <array>
#include <cstddef>

#include "tokamak/tensor/dtype.h"

namespace tokamak::kernels::cpu {

/// Tokens of the largest tile: 14 x 2 sums, 2 weights and a broadcast fit 32 vector registers.
inline constexpr int64_t kMaxTileTokens = 14;

/// One call of a micro-kernel: sums[t][32] = x panel * weight panel over `steps`.
struct TileCall {
  const void* x;        ///< Packed: [steps][tokens] words.
  const void* weights;  ///< One panel, [steps][32] words.
  int64_t steps;
  float* sums;
  /// Memory to bring closer meanwhile: `prefetch_lines` cache lines from there for every 4 steps.
  const std::byte* prefetch = nullptr;
  int64_t prefetch_lines = 0;
};
using TileFunction = void (*)(const TileCall&);

/// Packs rows x[0..tokens) of K elements, row_stride elements apart, into [steps][tokens] words.
struct PackCall {
  const void* x;
  int64_t tokens, depth, row_stride;
  void* packed;
};

struct MicroKernels {
  std::string_view name;                                ///< For benches and logs: "avx512_bf16".
  std::array<TileFunction, kMaxTileTokens + 1> tile{};  ///< By number of tokens, from 1.
  int64_t best_tokens = 0;                              ///< Tile that comes closest to the peak.
  int64_t max_tokens = 0;                               ///< Largest tile there is.
  int64_t words_per_step = 1;                           ///< Of packed x, a token.
  bool row_is_packed = false;  ///< One token's row with an even K needs no packing.
  bool prefetches = false;     ///< Heeds TileCall::prefetch.
  void (*pack)(const PackCall&) = nullptr;
};

/// x and w in bf16 or f32, in any combination.
const MicroKernels& micro_kernels(DType x, DType w);

/// The set for bf16 times bf16 on processors with AVX512_BF16; null on others.
const MicroKernels* micro_kernels_avx512_bf16();
/// The set that Highway chose for this processor. Its packed words of x are f32 of one element, two
/// a step for bf16 weights: [steps][2][tokens].
const MicroKernels& micro_kernels_simd(DType x, DType w);

}  // namespace tokamak::kernels::cpu
