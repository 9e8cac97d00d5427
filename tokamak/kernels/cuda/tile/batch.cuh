// SPDX-License-Identifier: Apache-2.0
// One step's packed batch in device memory; the twin of kernels::DeviceBatch.
#pragma once

#include "tile/types.cuh"

namespace tkm {

constexpr int kPageTokens = 64;

/// Sequence s owns rows [first_rows[s], first_rows[s + 1]), which follow contexts[s] cached tokens;
/// its pages are page_table[s * max_pages ...]. Rows from first_rows[num_sequences] on are padding.
struct Batch {
  const i32* first_rows;  ///< num_sequences + 1 values.
  const i32* contexts;
  const i32* page_table;
  i32 num_sequences;
  i32 max_pages;
};

/// The pages of one layer, each [K|V][kv_head][64][head_dim].
struct Cache {
  u8* data;
  i64 page_bytes;
};

/// The sequence of a row, by all threads of a block of THREADS together; -1 for padding. `scratch`
/// is one word of shared memory.
template <int THREADS>
TKM_DEVICE int sequence_of_row(const Batch& batch, int row, int* scratch) {
  if (threadIdx.x == 0) *scratch = -1;
  __syncthreads();
  for (int s = static_cast<int>(threadIdx.x); s < batch.num_sequences; s += THREADS) {
    if (batch.first_rows[s] <= row && row < batch.first_rows[s + 1]) *scratch = s;
  }
  __syncthreads();
  return *scratch;
}

}  // namespace tkm
