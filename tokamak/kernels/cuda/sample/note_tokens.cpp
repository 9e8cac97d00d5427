// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/note_tokens.h"

#include "tokamak/kernels/cuda/device_code.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kThreads = 256;

}  // namespace

Result<NoteTokens> NoteTokens::make(device::Device& device) {
  NoteTokens out;
  TKM_ASSIGN(out.function_, load_function(device, "sample/note_tokens.cuh", "tkm::note_tokens"));
  return out;
}

void NoteTokens::run(void* token_ids,
                     const void* sampled,
                     const DeviceBatch& batch,
                     void* pages,
                     int64_t count) const {
  if (count == 0) return;
  function_.launch({.grid = {grid_size(ceil_div(count, kThreads))},
                    .block = {grid_size(kThreads)},
                    .dependent = true},
                   token_ids,
                   sampled,
                   batch_argument(batch),
                   pages,
                   static_cast<int>(count));
}

}  // namespace tokamak::kernels::cuda
