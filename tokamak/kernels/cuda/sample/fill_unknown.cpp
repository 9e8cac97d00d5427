// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/fill_unknown.h"

#include "tokamak/kernels/cuda/device_code.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kThreads = 256;

}  // namespace

Result<FillUnknown> FillUnknown::make(device::Device& device) {
  FillUnknown out;
  TKM_ASSIGN(out.function_, load_function(device, "sample/fill_unknown.cuh", "tkm::fill_unknown"));
  return out;
}

void FillUnknown::run(void* token_ids, const void* sampled, int64_t count) const {
  if (count == 0) return;
  function_.launch({.grid = {grid_size(ceil_div(count, kThreads))},
                    .block = {grid_size(kThreads)},
                    .dependent = true},
                   token_ids,
                   sampled,
                   static_cast<int>(count));
}

}  // namespace tokamak::kernels::cuda
