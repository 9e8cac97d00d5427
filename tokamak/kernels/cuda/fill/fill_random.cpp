// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/fill/fill_random.h"

#include <algorithm>

#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/kernels/cuda/sources.h"

namespace tokamak::kernels::cuda {

Result<void> fill_random(device::Device& device,
                         void* data,
                         DType dtype,
                         int64_t count,
                         float offset,
                         float scale,
                         uint64_t seed) {
  if (dtype != DType::kBF16 && dtype != DType::kF32)
    return base::unsupported(
        fmt::format("random values of {}: only f32 and bf16", tensor::dtype_name(dtype)));
  if (count == 0) return {};
  TKM_ASSIGN(auto module,
             device::cuda::cuda_device(device).load(
                 {.name = "fill_random",
                  .text = "#include \"fill/fill_random.cuh\"\n",
                  .kernels = {"tkm::fill_random<tkm::bf16>", "tkm::fill_random<float>"},
                  .headers = sources(),
                  .keep_loaded = true}));
  constexpr unsigned kThreads = 256;
  auto blocks = static_cast<unsigned>(std::clamp<int64_t>(count / (8 * kThreads), 1, 132 * 16));
  module.at(dtype == DType::kBF16 ? 0 : 1)
      .launch({.grid = {blocks}, .block = {kThreads}}, data, count, offset, scale, seed);
  return {};
}

}  // namespace tokamak::kernels::cuda
