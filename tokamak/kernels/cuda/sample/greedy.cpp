// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/greedy.h"

#include <algorithm>

#include "tokamak/kernels/cuda/sources.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr unsigned kThreads = 512;
constexpr int64_t kColumnsOfBlock = 4096;

}  // namespace

Result<Greedy> Greedy::make(device::Device& device) {
  Greedy out;
  device::cuda::CudaDevice& cuda = device::cuda::cuda_device(device);
  TKM_ASSIGN(auto module,
             cuda.load({.name = "greedy",
                        .text = "#include \"sample/greedy.cuh\"\n",
                        .kernels = {fmt::format("tkm::greedy<{}>", kThreads)},
                        .headers = sources()}));
  out.function_ = module.at(0);
  out.num_sms_ = cuda.info().num_sms;
  return out;
}

void Greedy::run(
    const void* logits, int64_t rows, int64_t columns, void* tokens, void* counters) const {
  if (rows == 0) return;
  int64_t wanted = (columns + kColumnsOfBlock - 1) / kColumnsOfBlock;
  int64_t blocks = std::clamp<int64_t>(2 * num_sms_ / rows, 1, wanted);
  function_.launch({.grid = {static_cast<unsigned>(blocks), static_cast<unsigned>(rows)},
                    .block = {kThreads},
                    .dependent = true},
                   logits,
                   tokens,
                   counters,
                   static_cast<std::byte*>(counters) + rows * 8,
                   static_cast<int>(columns));
}

}  // namespace tokamak::kernels::cuda
