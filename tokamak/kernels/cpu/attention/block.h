// SPDX-License-Identifier: Apache-2.0
// The arithmetic of attention on one block of query rows, one page of keys and values at a time.
//
// A row is one query head of one token; the rows of a block share a kv head. Between pages a block
// keeps a state: for each row the sum of weighted values, the maximum that weights are relative to,
// and their total. Its layout is the business of the kernels.
#pragma once

#include <cstdint>
#include <string_view>

#include "tokamak/tensor/dtype.h"

namespace tokamak::kernels::cpu {

/// Most rows of a block; the number of a block is rounded up to the kernels' row_multiple.
inline constexpr int64_t kMaxBlockRows = 64;
/// Blocks of no more rows have kernels of their own: a decode step of one sequence.
inline constexpr int64_t kFewRows = 8;

struct Block {
  DType q_dtype, kv_dtype;
  int64_t head_dim;
  int64_t rows;       ///< A multiple of row_multiple.
  int64_t used_rows;  ///< The others are padding.
  float scale, softcap;
  /// Positions that row r sees: [first_visible[r], last_visible[r]]; padding sees none.
  const int32_t *first_visible, *last_visible;
  void* queries;  ///< Packed by pack_queries: rows * head_dim words of 4 bytes.
  void* scratch;  ///< scratch_bytes(head_dim)
  float* state;   ///< state_floats(head_dim)
};

/// Keys and values of `count` positions from `first_position`, rows of head_dim elements.
struct BlockPage {
  const void *keys, *values;
  int64_t count;
  int64_t first_position;
  bool masked;                                              ///< Some row does not see all of it.
  const void *next_keys = nullptr, *next_values = nullptr;  ///< To bring closer meanwhile, or null.
};

struct BlockKernels {
  std::string_view name;
  int64_t row_multiple;
  int64_t (*scratch_bytes)(int64_t head_dim);
  int64_t (*state_floats)(int64_t head_dim);
  /// Row r of the block is head_dim elements at rows[r].
  void (*pack_queries)(const Block&, const void* const* rows);
  /// Empties the state before its first page.
  void (*clear)(const Block&);
  void (*add_page)(const Block&, const BlockPage&);
  /// Folds `other` into the block's state, as if its pages had been added here.
  void (*merge)(const Block&, const float* other);
  /// Results of row r, head_dim elements of q's dtype, to rows[r].
  void (*store)(const Block&, void* const* rows);
};

/// The kernels for blocks of `rows` rows.
const BlockKernels& block_kernels(DType q, DType kv, int64_t head_dim, int64_t rows);

/// f32 arithmetic for any types.
const BlockKernels& few_rows_simd();
const BlockKernels& many_rows_simd();
/// bf16 queries over a bf16 cache with an even head_dim on processors with AVX512_BF16; null on
/// others.
const BlockKernels* few_rows_avx512_bf16();
const BlockKernels* many_rows_avx512_bf16();

}  // namespace tokamak::kernels::cpu
