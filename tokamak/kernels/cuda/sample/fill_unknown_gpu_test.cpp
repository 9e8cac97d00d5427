// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/gpu_test.h"
#include "tokamak/kernels/cuda/sample/fill_unknown.h"

namespace tokamak::kernels::cuda {
namespace {

using FillUnknownOnGpu = device::GpuTest;

TEST_F(FillUnknownOnGpu, TakesTokensByTheirRowsAndLeavesKnownOnes) {
  auto fill = FillUnknown::make(*device_);
  ASSERT_TRUE(fill.ok()) << fill.error().text();
  const std::vector<int32_t> sampled = {70, -1, 72, 73};
  device::Memory rows = upload(sampled);
  for (int64_t count : {1, 5, 256, 1000}) {
    std::vector<int32_t> ids, expected;
    for (int32_t i = 0; i < static_cast<int32_t>(count) + 3; ++i) {
      const int32_t row = i % 5;  // 4: a known token.
      ids.push_back(row < 4 ? -1 - row : i);
      const bool filled = row < 4 && i < count;  // Behind the last is not touched.
      expected.push_back(filled ? std::max(sampled[static_cast<size_t>(row)], 0) : ids.back());
    }
    device::Memory memory = upload(ids);
    fill->run(memory.data(), rows.data(), count);
    EXPECT_EQ(download<int32_t>(memory, std::ssize(ids)), expected) << count;
  }
  EXPECT_EQ(download<int32_t>(rows, 4), sampled);
}

}  // namespace
}  // namespace tokamak::kernels::cuda
