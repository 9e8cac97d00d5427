// SPDX-License-Identifier: Apache-2.0
// The arithmetic of attention on one block of query rows, one page of keys and values at a time.
//
// A row is one query head of one token; the rows of a block share a kv head. Everything is kept
// transposed, rows along the lanes: scores are [key][row], sums [element][row]. Then keys and
// values are only ever broadcast, straight from the page; the running maximum and total are
// vectors; and no reduction across lanes is needed. A decode step with 8 query heads a kv head
// fills 8 lanes, a prefill block 32 or 64.
#pragma once

#include <cstdint>
#include <string_view>

#include "tokamak/tensor/dtype.h"

namespace tokamak::kernels::cpu {

/// Most rows of a block; the number of a block is rounded up to the block kernels' row_multiple.
inline constexpr int64_t kMaxBlockRows = 64;

/// What outlives a page: sums of values [head_dim][rows], maxima [rows], totals [rows], all f32. A
/// block whose context is split over threads has one a split.
struct BlockState {
  float *sums, *maxima, *totals;
};

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
  BlockState state;
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
  int64_t (*row_multiple)(int64_t rows);
  int64_t (*scratch_bytes)(int64_t head_dim);
  /// Row r of the block is head_dim elements at rows[r].
  void (*pack_queries)(const Block&, const void* const* rows);
  void (*add_page)(const Block&, const BlockPage&);
};

/// Empties a state before its first page.
void clear_state(const Block& block);
/// Folds `other` into the block's state, as if its pages had been added here.
void merge_state(const Block& block, const BlockState& other);
/// y of row r, head_dim elements of q's dtype, to rows[r].
void store_rows(const Block& block, void* const* rows);

const BlockKernels& block_kernels(DType q, DType kv);
const BlockKernels& block_kernels_simd();
/// bf16 queries over a bf16 cache on processors with AVX512_BF16; null on others.
const BlockKernels* block_kernels_avx512_bf16();

}  // namespace tokamak::kernels::cpu
