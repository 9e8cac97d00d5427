// SPDX-License-Identifier: Apache-2.0
// fill_unknown: a token id below 0 becomes the token that the step before took from row -1 - id of
// its logits; where it took none (-1), token 0, which every vocabulary has.
// Grid: a thread an id.
#pragma once

#include "tile/async.cuh"

namespace tkm {

__global__ void fill_unknown(i32* token_ids, const i32* sampled, int count) {
  start_successors();
  wait_for_predecessors();
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count || token_ids[i] >= 0) return;
  i32 token = sampled[-1 - token_ids[i]];
  token_ids[i] = token < 0 ? 0 : token;
}

}  // namespace tkm
