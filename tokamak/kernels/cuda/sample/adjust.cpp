// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/adjust.h"

#include "tokamak/kernels/cuda/device_code.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr unsigned kThreads = 512;
constexpr int64_t kTile = 8192;

}  // namespace

Result<Adjust> Adjust::make(device::Device& device, int64_t columns) {
  Adjust out;
  out.columns_ = columns;
  TKM_ASSIGN(
      out.function_,
      load_function(device, "sample/adjust.cuh", instantiate("adjust", columns % 4 == 0 ? 4 : 1)));
  return out;
}

void Adjust::run(const void* logits,
                 void* adjusted,
                 const void* asked,
                 int64_t count,
                 const void* words,
                 const DeviceBatch& batch,
                 const void* pages) const {
  if (count == 0) return;
  function_.launch({.grid = {grid_size(ceil_div(columns_, kTile)), grid_size(count)},
                    .block = {kThreads},
                    .dependent = true},
                   logits,
                   adjusted,
                   asked,
                   words,
                   batch.page_table,
                   pages,
                   static_cast<int>(batch.max_pages),
                   static_cast<int>(columns_));
}

}  // namespace tokamak::kernels::cuda
