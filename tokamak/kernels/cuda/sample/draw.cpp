// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/draw.h"

#include "tokamak/kernels/cuda/device_code.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr unsigned kThreads = 512;
constexpr int64_t kRowBytes = sizeof(DrawRow);

}  // namespace

Result<Draw> Draw::make(device::Device& device, int64_t max_draws, int64_t columns) {
  Draw out;
  out.device_ = &device;
  out.columns_ = columns;
  out.max_draws_ = max_draws;
  TKM_ASSIGN(
      out.function_,
      load_function(device, "sample/draw.cuh", instantiate("draw", columns % 4 == 0 ? 4 : 1)));
  if (!device::cuda::cuda_device(device).can_run()) return out;
  TKM_ASSIGN(out.rows_, device.allocate(max_draws * kRowBytes));
  for (device::Memory& staging : out.staging_) {
    TKM_ASSIGN(staging, device.allocate_host(max_draws * kRowBytes));
  }
  return out;
}

void Draw::run(const void* logits, std::span<const DrawRow> asked, void* tokens) {
  const int64_t count = std::ssize(asked);
  TKM_CHECK(count <= max_draws_, "{} draws, at most {}", count, max_draws_);
  if (asked.empty()) return;
  std::swap(staging_[0], staging_[1]);
  std::copy(asked.begin(), asked.end(), static_cast<DrawRow*>(staging_[0].data()));
  device_->copy_to_device(rows_.data(), staging_[0].data(), count * kRowBytes);
  function_.launch({.grid = {grid_size(count)}, .block = {kThreads}},
                   logits,
                   rows_.data(),
                   tokens,
                   static_cast<int>(columns_));
}

}  // namespace tokamak::kernels::cuda
