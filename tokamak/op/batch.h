// SPDX-License-Identifier: Apache-2.0
// One step's packed batch as the attention ops see it, and the paged key/value cache they read and
// write.
#pragma once

#include <cstdint>
#include <span>

#include "tokamak/tensor/tensor.h"

namespace tokamak::op {

inline constexpr int64_t kPageTokens = 64;

/// The rows of one sequence in the batch: its next `num_tokens` tokens, after `context` tokens that
/// are already in the cache.
struct SequenceSpan {
  int32_t first_token = 0;  ///< Row in the batch.
  int32_t num_tokens = 0;
  int32_t context = 0;  ///< Tokens of this sequence in the cache before this step.
  std::span<const int32_t>
      pages;  ///< Page of each run of kPageTokens positions, enough for context + num_tokens.
  bool is_long = false;  ///< Its positions are rotated as those of a long sequence.
};

/// The pages of one layer. Page p is [K|V][kv_head][kPageTokens][head_dim] of `dtype` at data + p *
/// page_bytes.
struct KvCache {
  DType dtype = DType::kF32;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  int64_t page_bytes = 0;
  void* data = nullptr;

  static int64_t bytes_of_page(DType dtype, int64_t num_kv_heads, int64_t head_dim) {
    return 2 * num_kv_heads * kPageTokens * head_dim * tensor::dtype_bytes(dtype);
  }
  /// Address of the head_dim keys (value = 0) or values (value = 1) of one position.
  void* at(int32_t page, int32_t value, int32_t kv_head, int64_t slot) const {
    int64_t row = (static_cast<int64_t>(value) * num_kv_heads + kv_head) * kPageTokens + slot;
    return static_cast<std::byte*>(data) + page * page_bytes +
           row * head_dim * tensor::dtype_bytes(dtype);
  }
};

/// What ops with state need beside their inputs. Sequences are in batch order and cover its rows
/// without gaps.
struct BatchView {
  std::span<const SequenceSpan> sequences;
  std::span<const KvCache> layers;
};

}  // namespace tokamak::op
