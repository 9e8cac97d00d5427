// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::device::cuda {
namespace {

using ::testing::HasSubstr;

constexpr EmbeddedFile kHeaders[] = {{"add.cuh", R"(
template <int N>
__global__ void add(int* values, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] += N;
}
__global__ void reverse(int* values, int count) {
  extern __shared__ int dynamic[];
  __shared__ int fixed[32];
  fixed[threadIdx.x % 32] = threadIdx.x % 32;
  for (int i = threadIdx.x; i < count; i += blockDim.x) dynamic[i] = values[i];
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += blockDim.x)
    values[i] = dynamic[count - 1 - i] + fixed[i % 32];
}
extern "C" { __device__ unsigned long long tkm_began_at = 0; }
__global__ void wait(volatile int* flag) {
  unsigned long long now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  tkm_began_at = now;
  while (*flag == 0) {}
}
__global__ void fault(int* values) { *reinterpret_cast<int*>(16) = values[0]; }
)"}};

class Gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = CudaDevice::open(0, 0);
    if (!opened.ok()) GTEST_SKIP() << opened.error().text();
    device_ = *opened;
  }
  Module load() {
    auto module = device_->load({.name = "add",
                                 .text = "#include \"add.cuh\"\n",
                                 .kernels = {"add<3>", "fault", "reverse"},
                                 .headers = kHeaders});
    EXPECT_TRUE(module.ok()) << module.error().text();
    return *module;
  }
  std::vector<int> read(const Memory& memory) {
    std::vector<int> out(static_cast<size_t>(memory.bytes() / 4));
    device_->copy_to_host(out.data(), memory.data(), memory.bytes());
    EXPECT_TRUE(device_->synchronize().ok());
    return out;
  }
  std::shared_ptr<CudaDevice> device_;
};

TEST_F(Gpu, AnEventWaitsForWhatIsBeforeItAndNotForWhatIsBehind) {
  constexpr int kLong = 1 << 28;
  Function add = load().at(0);
  Memory memory = device_->allocate(int64_t{4} * kLong).value();
  Memory first = device_->allocate_host(4).value(), last = device_->allocate_host(4).value();
  auto* begin = static_cast<volatile int*>(first.data());
  auto* end = static_cast<volatile int*>(last.data());
  *begin = -1;
  *end = -1;
  auto event = device_->make_event();
  ASSERT_TRUE(event.ok()) << event.error().text();
  auto add_three = [&] {
    add.launch({.grid = {kLong / 256}, .block = {256}}, memory.data(), kLong);
  };
  add_three();
  device_->copy_to_host(first.data(), memory.data(), 4);
  (*event)->record();
  for (int i = 0; i < 300; ++i) add_three();
  device_->copy_to_host(last.data(), memory.data(), 4);
  ASSERT_TRUE((*event)->wait().ok());
  EXPECT_EQ(*begin, 3);
  EXPECT_EQ(*end, -1) << "some 100 ms of work are not waited for";
  ASSERT_TRUE(device_->synchronize().ok());
  EXPECT_EQ(*end, 903);
  // It can be recorded again.
  add_three();
  device_->copy_to_host(last.data(), memory.data(), 4);
  (*event)->record();
  ASSERT_TRUE((*event)->wait().ok());
  EXPECT_EQ(*end, 906);
}

TEST_F(Gpu, CopiesLaunchesAndReplaysInOrder) {
  Function add = load().at(0);
  std::vector<int> values(1000);
  std::iota(values.begin(), values.end(), 0);
  Memory memory = device_->allocate(4000).value();
  EXPECT_THAT(read(memory), ::testing::Each(0)) << "memory is zeroed";
  device_->copy_to_device(memory.data(), values.data(), 4000);
  auto work = [&] { add.launch({.grid = {4}, .block = {256}}, memory.data(), 1000); };
  work();
  auto graph = device_->capture(work);
  ASSERT_TRUE(graph.ok()) << graph.error().text();
  (*graph)->launch();
  (*graph)->launch();
  std::vector<int> result = read(memory);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(result[static_cast<size_t>(i)], i + 9) << i;
}

void expect_reversed(CudaDevice& device, const Function& reverse, int count) {
  std::vector<int> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  Memory memory = device.allocate(count * 4).value();
  device.copy_to_device(memory.data(), values.data(), count * 4);
  unsigned bytes = static_cast<unsigned>(count) * 4;
  reverse.launch({.grid = {1}, .block = {256}, .shared_bytes = bytes}, memory.data(), count);
  device.copy_to_host(values.data(), memory.data(), count * 4);
  auto done = device.synchronize();
  ASSERT_TRUE(done.ok()) << done.error().text();
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(values[static_cast<size_t>(i)], count - 1 - i + i % 32) << i;
}

TEST_F(Gpu, ABlockMayHaveAllSharedMemoryThatThereIs) {
  Function reverse = load().at(2);
  expect_reversed(*device_, reverse, 1000);
  expect_reversed(*device_, reverse, 30'000);
  expect_reversed(*device_, reverse, (device_->info().max_shared_bytes - 128) / 4);
}

TEST_F(Gpu, ModulesLoadedByManyThreadsAreAsGood) {
  std::vector<Module> modules(8);
  device_->pool().parallel_for(std::ssize(modules), [&](int64_t i, int) {
    modules[static_cast<size_t>(i)] =
        device_
            ->load({.name = "add",
                    .text = fmt::format("// {}\n#include \"add.cuh\"\n", i),
                    .kernels = {"reverse"},
                    .headers = kHeaders})
            .value();
  });
  for (const Module& module : modules) expect_reversed(*device_, module.at(0), 40'000);
}

TEST_F(Gpu, TimesWork) {
  Memory memory = device_->allocate(int64_t{256} << 20).value();
  auto work = [&] { device_->fill_bytes(memory.data(), 1, memory.bytes()); };
  ASSERT_TRUE(device_->time_us(work).ok());
  double us = device_->time_us(work).value();
  EXPECT_GT(us, 20);
  EXPECT_LT(us, 10'000);
}

TEST_F(Gpu, ALaunchThatCannotBeNamesTheKernelAndItsShape) {
  Function add = load().at(0);
  Memory memory = device_->allocate(16).value();
  add.launch({.grid = {1}, .block = {4096}}, memory.data(), 4);
  auto failed = device_->synchronize();
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().code, ErrorCode::kDevice);
  EXPECT_THAT(failed.error().message, HasSubstr("add with 1x1x1 blocks of 4096x1x1 threads"));
  EXPECT_TRUE(device_->synchronize().ok()) << "the device goes on";
}

TEST_F(Gpu, MoreMemoryThanThereIsIsAnErrorWithNumbers) {
  auto memory = device_->allocate(int64_t{1} << 45);
  ASSERT_FALSE(memory.ok());
  EXPECT_EQ(memory.error().code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(memory.error().message, HasSubstr("35184372088832 bytes"));
}

TEST_F(Gpu, FingerprintNamesTheDevice) {
  EXPECT_THAT(device_->fingerprint(), HasSubstr(device_->info().name));
  EXPECT_GT(device_->free_bytes(), int64_t{1} << 30);
  EXPECT_LE(device_->free_bytes(), device_->total_bytes());
}

TEST_F(Gpu, TheKernelThatDoesNotEndIsNamed) {
  auto load_as = [&](const char* name) {
    auto module = device_->load({.name = name,
                                 .text = fmt::format("#include \"add.cuh\"\n// {}\n", name),
                                 .kernels = {"wait"},
                                 .headers = kHeaders});
    EXPECT_TRUE(module.ok()) << module.error().text();
    return module->at(0);
  };
  Memory memory = device_->allocate_host(8).value();
  auto* flags = static_cast<volatile int*>(memory.data());
  flags[0] = 1;
  flags[1] = 0;
  Function first = load_as("first"), second = load_as("second");
  EXPECT_EQ(device_->last_kernel(), "") << "none has begun";
  first.launch({}, flags);
  second.launch({}, flags + 1);
  std::string named;
  for (int i = 0; i < 100 && named != "second"; ++i) named = device_->last_kernel();
  flags[1] = 1;
  EXPECT_EQ(named, "second");
  EXPECT_TRUE(device_->synchronize().ok());
}

// In a process of its own, since the device is lost for it.
TEST(GpuDeathTest, AFaultLosesTheDeviceAndSaysSo) {
  if (!CudaDevice::open(0, 1).ok()) GTEST_SKIP() << "no GPU";
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto fault = [] {
    auto device = CudaDevice::open(0, 1).value();
    auto module = device->load({.name = "add",
                                .text = "#include \"add.cuh\"\n",
                                .kernels = {"fault"},
                                .headers = kHeaders});
    Memory memory = device->allocate(16).value();
    module->at(0).launch({}, memory.data());
    auto first = device->synchronize(), second = device->synchronize();
    bool told = !first.ok() && first.error().code == ErrorCode::kDevice && !second.ok() &&
                second.error().code == ErrorCode::kDevice;
    std::fputs(first.ok() ? "no error" : first.error().message.c_str(), stderr);
    std::_Exit(told ? 0 : 1);
  };
  EXPECT_EXIT(fault(), ::testing::ExitedWithCode(0), "the GPU is lost for this process");
}

}  // namespace
}  // namespace tokamak::device::cuda
