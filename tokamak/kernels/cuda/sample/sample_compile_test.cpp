// SPDX-License-Identifier: Apache-2.0
// The kernels that choose tokens belong to no op, so the compiler's test of all configurations does
// not meet them.
#include <gtest/gtest.h>

#include "tokamak/device/cuda/libraries.h"
#include "tokamak/kernels/cuda/sample/adjust.h"
#include "tokamak/kernels/cuda/sample/draw.h"
#include "tokamak/kernels/cuda/sample/greedy.h"
#include "tokamak/kernels/cuda/sample/note_tokens.h"
#include "tokamak/kernels/cuda/sample/score.h"

namespace tokamak::kernels::cuda {
namespace {

TEST(SamplingKernels, CompileWithoutSpills) {
  if (auto nvrtc = device::cuda::nvrtc(); !nvrtc.ok())
    GTEST_SKIP() << "SKIPPED: " << nvrtc.error().text();
  for (int capability : {80, 89, 90, 100}) {
    device::cuda::DeviceInfo info;
    info.compute_capability = capability;
    auto device = device::cuda::CudaDevice::compile_only(info, 1);
    auto expect_made = [&](const auto& made) {
      EXPECT_TRUE(made.ok()) << capability << ": " << made.error().text();
    };
    for (int64_t columns : {1001, 128'256}) {
      expect_made(Adjust::make(*device, columns));
      expect_made(Draw::make(*device, columns));
      expect_made(Scorer::make(*device, columns));
    }
    expect_made(Greedy::make(*device));
    expect_made(NoteTokens::make(*device));
  }
}

}  // namespace
}  // namespace tokamak::kernels::cuda
