// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tokamak/device/gpu_test.h"
#include "tokamak/kernels/cuda/fill/fill_random.h"
#include "tokamak/kernels/cuda/sample/greedy.h"

namespace tokamak::kernels::cuda {
namespace {

class Greedily : public device::GpuTest {
 protected:
  std::vector<int32_t> choose(const std::vector<float>& logits, int64_t rows) {
    auto columns = std::ssize(logits) / rows;
    auto greedy = Greedy::make(*device_);
    EXPECT_TRUE(greedy.ok()) << greedy.error().text();
    device::Memory values = upload(logits), tokens = device_->allocate(rows * 4).value();
    device::Memory counters = device_->allocate(rows * Greedy::kCounterBytes).value();
    std::vector<int32_t> out[2];
    for (auto& chosen : out) {
      device_->fill_bytes(tokens.data(), 0xee, rows * 4);
      greedy->run(values.data(), rows, columns, tokens.data(), counters.data());
      chosen = download<int32_t>(tokens, rows);
    }
    EXPECT_EQ(out[0], out[1]);
    EXPECT_EQ(download<uint8_t>(counters, counters.bytes()),
              std::vector<uint8_t>(static_cast<size_t>(counters.bytes()), 0));
    return out[0];
  }
};

TEST_F(Greedily, TakesTheLowestIndexOfTheLargest) {
  std::mt19937 random(5);
  for (int64_t rows : {1, 2, 7, 64, 256}) {
    for (int64_t columns : {1, 31, 1000, 32000, 128256}) {
      if (rows * columns > 20'000'000) continue;
      std::vector<float> logits(static_cast<size_t>(rows * columns));
      // Few different values, so that the largest comes often.
      for (float& value : logits)
        value = static_cast<float>(static_cast<int>(random() % 2001) - 1800);
      std::vector<int32_t> tokens = choose(logits, rows);
      for (int64_t r = 0; r < rows; ++r) {
        auto begin = logits.begin() + r * columns;
        EXPECT_EQ(tokens[static_cast<size_t>(r)], std::max_element(begin, begin + columns) - begin)
            << rows << " x " << columns << " row " << r;
      }
    }
  }
}

TEST_F(Greedily, RowsWithoutABestAreMarked) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr int64_t kColumns = 50'000;
  std::vector<float> logits(7 * kColumns, -3.0f);
  auto at = [&](int64_t row, int64_t column) -> float& {
    return logits[static_cast<size_t>(row * kColumns + column)];
  };
  at(0, 49'999) = std::nanf("");
  at(1, 3) = -std::nanf("");
  at(2, 30'000) = kInf;
  for (int64_t c = 0; c < kColumns; ++c) at(3, c) = -kInf;
  for (int64_t c = 0; c < kColumns; ++c) at(4, c) = -kInf;
  at(4, 777) = -1e30f;
  at(5, 12'345) = std::numeric_limits<float>::max();
  at(6, 40'000) = 0.0f;
  at(6, 20'000) = -0.0f;  // Which is equal.
  EXPECT_EQ(choose(logits, 7), (std::vector<int32_t>{-1, -1, -1, -1, 777, 12'345, 20'000}));
}

TEST_F(Greedily, RandomFillHasTheAskedRangeAndNoRepetition) {
  constexpr int64_t kCount = 1 << 20;
  device::Memory memory = device_->allocate(kCount * 4).value();
  ASSERT_TRUE(fill_random(*device_, memory.data(), DType::kF32, kCount, 1.0f, 0.5f, 9).ok());
  std::vector<float> values = download<float>(memory, kCount);
  double sum = 0, squares = 0;
  for (float v : values) {
    ASSERT_GE(v, 0.5f);
    ASSERT_LE(v, 1.5f);
    sum += v - 1;
    squares += (v - 1.0) * (v - 1.0);
  }
  EXPECT_NEAR(sum / kCount, 0, 2e-3);
  EXPECT_NEAR(squares / kCount, 0.25 / 3, 1e-3);
  std::sort(values.begin(), values.end());
  auto distinct = std::unique(values.begin(), values.end()) - values.begin();
  EXPECT_GT(distinct, kCount / 2);
}

}  // namespace
}  // namespace tokamak::kernels::cuda
