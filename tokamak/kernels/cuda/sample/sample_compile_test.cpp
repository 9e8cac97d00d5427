// SPDX-License-Identifier: Apache-2.0
// The kernels that choose tokens belong to no op, so the compiler's test of all configurations does
// not meet them.
#include <gtest/gtest.h>

#include "tokamak/device/cuda/libraries.h"
#include "tokamak/kernels/cuda/sample/draw.h"
#include "tokamak/kernels/cuda/sample/fill_unknown.h"
#include "tokamak/kernels/cuda/sample/greedy.h"

namespace tokamak::kernels::cuda {
namespace {

TEST(SamplingKernels, CompileWithoutSpills) {
  if (auto nvrtc = device::cuda::nvrtc(); !nvrtc.ok())
    GTEST_SKIP() << "SKIPPED: " << nvrtc.error().text();
  for (int capability : {80, 89, 90, 100}) {
    device::cuda::DeviceInfo info;
    info.compute_capability = capability;
    auto device = device::cuda::CudaDevice::compile_only(info, 1);
    for (int64_t columns : {1001, 128'256}) {
      auto draw = Draw::make(*device, 8, columns);
      EXPECT_TRUE(draw.ok()) << capability << ": " << draw.error().text();
    }
    auto greedy = Greedy::make(*device, 8);
    EXPECT_TRUE(greedy.ok()) << capability << ": " << greedy.error().text();
    auto fill = FillUnknown::make(*device);
    EXPECT_TRUE(fill.ok()) << capability << ": " << fill.error().text();
  }
}

}  // namespace
}  // namespace tokamak::kernels::cuda
