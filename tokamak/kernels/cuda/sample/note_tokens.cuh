// SPDX-License-Identifier: Apache-2.0
// note_tokens: completes a step's token ids and notes them by page and position, so that whoever
// needs a sequence's tokens finds them as attention finds keys and values. An id below 0 becomes
// the token that the step before took from row -1 - id of its logits; where it took none (-1),
// token 0, which every vocabulary has.
//
// pages [pages, 64]: the token at each position of each page. Padding notes nothing.
// Grid: a thread a row.
#pragma once

#include "tile/async.cuh"
#include "tile/batch.cuh"

namespace tkm {

__global__ void note_tokens(
    i32* token_ids, const i32* sampled, Batch batch, i32* pages, int count) {
  start_successors();
  wait_for_predecessors();
  int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row >= count) return;
  i32 token = token_ids[row];
  if (token < 0) {
    token = imax(sampled[-1 - token], 0);
    token_ids[row] = token;
  }
  if (row >= batch.first_rows[batch.num_sequences]) return;
  // The first sequence that ends behind the row.
  int low = 0, high = batch.num_sequences - 1;
  while (low < high) {
    int middle = (low + high) / 2;
    if (batch.first_rows[middle + 1] > row)
      high = middle;
    else
      low = middle + 1;
  }
  int position = batch.contexts[low] + row - batch.first_rows[low];
  i32 page = batch.page_table[i64{low} * batch.max_pages + position / kPageTokens];
  pages[i64{page} * kPageTokens + position % kPageTokens] = token;
}

}  // namespace tkm
