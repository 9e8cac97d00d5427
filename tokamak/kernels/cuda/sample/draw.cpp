// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/draw.h"

#include "tokamak/kernels/cuda/device_code.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr unsigned kThreads = 512;
constexpr int64_t kRowBytes = sizeof(DrawRow), kTokenBytes = sizeof(int32_t);

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
  const int64_t bytes = max_draws * (kRowBytes + kTokenBytes);
  TKM_ASSIGN(out.block_, device.allocate(bytes));
  TKM_ASSIGN(out.host_, device.allocate_host(bytes));
  return out;
}

void Draw::run(const void* logits, std::span<const DrawRow> asked) {
  num_draws_ = std::ssize(asked);
  TKM_CHECK(num_draws_ <= max_draws_, "{} draws, at most {}", num_draws_, max_draws_);
  if (asked.empty()) return;
  std::copy(asked.begin(), asked.end(), static_cast<DrawRow*>(host_.data()));
  device_->copy_to_device(block_.data(), host_.data(), num_draws_ * kRowBytes);
  const int64_t tokens = max_draws_ * kRowBytes;
  auto at = [](device::Memory& memory, int64_t offset) {
    return static_cast<std::byte*>(memory.data()) + offset;
  };
  function_.launch({.grid = {grid_size(num_draws_)}, .block = {kThreads}},
                   logits,
                   block_.data(),
                   at(block_, tokens),
                   static_cast<int>(columns_));
  device_->copy_to_host(at(host_, tokens), at(block_, tokens), num_draws_ * kTokenBytes);
}

std::span<const int32_t> Draw::tokens() const {
  auto* begin = static_cast<const std::byte*>(host_.data()) + max_draws_ * kRowBytes;
  return {reinterpret_cast<const int32_t*>(begin), static_cast<size_t>(num_draws_)};
}

}  // namespace tokamak::kernels::cuda
