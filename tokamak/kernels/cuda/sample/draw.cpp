// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/draw.h"

#include "tokamak/kernels/cuda/device_code.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr unsigned kThreads = 512;

}  // namespace

Result<Draw> Draw::make(device::Device& device, int64_t columns) {
  Draw out;
  out.columns_ = columns;
  TKM_ASSIGN(
      out.function_,
      load_function(device, "sample/draw.cuh", instantiate("draw", columns % 4 == 0 ? 4 : 1)));
  return out;
}

void Draw::run(const void* logits,
               const void* adjusted,
               const void* asked,
               int64_t count,
               void* tokens) const {
  if (count == 0) return;
  function_.launch({.grid = {grid_size(count)}, .block = {kThreads}, .dependent = true},
                   logits,
                   adjusted,
                   asked,
                   tokens,
                   static_cast<int>(columns_));
}

}  // namespace tokamak::kernels::cuda
