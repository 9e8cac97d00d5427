// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/sample/greedy.h"

#include <algorithm>

#include "tokamak/kernels/cuda/sources.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr unsigned kThreads = 512;
constexpr int64_t kColumnsOfBlock = 4096;

}  // namespace

Result<Greedy> Greedy::make(device::Device& device, int64_t max_rows) {
  Greedy out;
  device::cuda::CudaDevice& cuda = device::cuda::cuda_device(device);
  TKM_ASSIGN(auto module,
             cuda.load({.name = "greedy",
                        .text = "#include \"sample/greedy.cuh\"\n",
                        .kernels = {fmt::format("tkm::greedy<{}>", kThreads)},
                        .headers = sources()}));
  out.function_ = module.at(0);
  out.num_sms_ = cuda.info().num_sms;
  if (!cuda.can_run()) return out;
  TKM_ASSIGN(out.best_, device.allocate(max_rows * 8));
  TKM_ASSIGN(out.arrived_, device.allocate(max_rows * 4));
  return out;
}

void Greedy::run(const void* logits, int64_t rows, int64_t columns, void* tokens) const {
  if (rows == 0) return;
  int64_t wanted = (columns + kColumnsOfBlock - 1) / kColumnsOfBlock;
  int64_t blocks = std::clamp<int64_t>(2 * num_sms_ / rows, 1, wanted);
  function_.launch({.grid = {static_cast<unsigned>(blocks), static_cast<unsigned>(rows)},
                    .block = {kThreads},
                    .dependent = true},
                   logits,
                   tokens,
                   best_.data(),
                   arrived_.data(),
                   static_cast<int>(columns));
}

}  // namespace tokamak::kernels::cuda
