// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/score.h"

#include "tokamak/kernels/cuda/device_code.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr unsigned kThreads = 512;

}  // namespace

Result<Scorer> Scorer::make(device::Device& device, int64_t columns) {
  Scorer out;
  out.columns_ = columns;
  TKM_ASSIGN(
      out.function_,
      load_function(device, "sample/score.cuh", instantiate("score", columns % 4 == 0 ? 4 : 1)));
  return out;
}

void Scorer::run(
    const void* logits, const void* asked, int64_t count, const void* tokens, void* scores) const {
  if (count == 0) return;
  function_.launch({.grid = {grid_size(count)}, .block = {kThreads}, .dependent = true},
                   logits,
                   asked,
                   tokens,
                   scores,
                   static_cast<int>(columns_));
}

}  // namespace tokamak::kernels::cuda
