// SPDX-License-Identifier: Apache-2.0
// Where tokens of a step go in the paged cache.
#pragma once

#include <algorithm>

#include "tokamak/op/batch.h"

namespace tokamak::kernels::cpu {

/// The sequence that owns row `token` of the batch.
inline const op::SequenceSpan& sequence_of(const op::BatchView& batch, int64_t token) {
  auto after = std::upper_bound(
      batch.sequences.begin(),
      batch.sequences.end(),
      token,
      [](int64_t t, const op::SequenceSpan& sequence) { return t < sequence.first_token; });
  return *(after - 1);
}

/// Address of the keys (value = 0) or values (value = 1) of kv head 0 for row `token`; the next
/// head is kPageTokens * head_dim elements further.
inline void* cache_slot(const op::KvCache& cache,
                        const op::SequenceSpan& sequence,
                        int64_t token,
                        int value) {
  int64_t position = sequence.context + token - sequence.first_token;
  int32_t page = sequence.pages[static_cast<size_t>(position / op::kPageTokens)];
  return cache.at(page, value, 0, position % op::kPageTokens);
}
inline int64_t cache_head_stride_bytes(const op::KvCache& cache) {
  return op::kPageTokens * cache.head_dim * tensor::dtype_bytes(cache.dtype);
}

}  // namespace tokamak::kernels::cpu
