// SPDX-License-Identifier: Apache-2.0
// What tests of kernels share: a GPU, without which they are skipped, and copies that wait.
#pragma once

#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "tokamak/device/device.h"

namespace tokamak::device {

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = open_device(Target::kCuda);
    if (!opened.ok()) GTEST_SKIP() << "SKIPPED: " << opened.error().text();
    device_ = *opened;
  }
  template <typename T>
  Memory upload(const std::vector<T>& values) {
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
    Memory memory = device_->allocate(bytes).value();
    device_->copy_to_device(memory.data(), values.data(), bytes);
    expect_done();
    return memory;
  }
  template <typename T>
  std::vector<T> download(const Memory& memory, int64_t count) {
    std::vector<T> out(static_cast<size_t>(count));
    device_->copy_to_host(out.data(), memory.data(), count * static_cast<int64_t>(sizeof(T)));
    expect_done();
    return out;
  }
  void expect_done() {
    auto done = device_->synchronize();
    EXPECT_TRUE(done.ok()) << done.error().text();
  }

  std::shared_ptr<Device> device_;
};

}  // namespace tokamak::device
