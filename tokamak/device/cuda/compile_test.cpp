// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/cuda/compile.h"

#include <cstdio>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/base/file.h"
#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/device/cuda/libraries.h"

namespace tokamak::device::cuda {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kLog =
    "ptxas info    : 0 bytes gmem\n"
    "ptxas info    : Compiling entry function '_Z3addPf' for 'sm_90a'\n"
    "ptxas info    : Function properties for _Z3addPf\n"
    "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
    "ptxas info    : Used 24 registers, used 1 barriers, 4096 bytes smem\n"
    "ptxas info    : Compiling entry function '_Z4fullPf' for 'sm_90a'\n"
    "ptxas info    : Function properties for _Z4fullPf\n"
    "    40 bytes stack frame, 36 bytes spill stores, 28 bytes spill loads\n"
    "ptxas info    : Used 255 registers, used 0 barriers\n";

TEST(CompileLog, ReadsRegistersSpillsAndSharedMemoryOfEachKernel) {
  CompileLog log = parse_compile_log(kLog);
  ASSERT_EQ(log.kernels.size(), 2u);
  EXPECT_EQ(log.kernels[0].kernel, "_Z3addPf");
  EXPECT_EQ(log.kernels[0].registers, 24);
  EXPECT_EQ(log.kernels[0].shared_bytes, 4096);
  EXPECT_EQ(log.kernels[0].spill_bytes, 0);
  EXPECT_EQ(log.kernels[1].registers, 255);
  EXPECT_EQ(log.kernels[1].spill_bytes, 36);
  EXPECT_EQ(log.kernels[1].stack_bytes, 40);
}

TEST(CompileLog, ASpillNamesSourceAndKernel) {
  auto checked = check_compile_log({.name = "add_rows"}, parse_compile_log(kLog));
  ASSERT_FALSE(checked.ok());
  EXPECT_THAT(checked.error().message, HasSubstr("add_rows: _Z4fullPf spills 36 bytes"));
  EXPECT_TRUE(
      check_compile_log({.name = "add_rows", .allow_spills = true}, parse_compile_log(kLog)).ok());
}

TEST(CompileLog, SerializedTensorCoreInstructionsAreAnError) {
  CompileLog log = parse_compile_log(
      "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are "
      "serialized due to insufficient register resources for the wgmma pipeline in function "
      "'gemm'\n");
  auto checked = check_compile_log({.name = "gemm"}, log);
  ASSERT_FALSE(checked.ok());
  EXPECT_THAT(checked.error().message, HasSubstr("C7510"));
}

constexpr EmbeddedFile kHeaders[] = {
    {"used.cuh",
     "#include \"deeper.cuh\"\ntemplate <int N> __global__ void add(float* x) { x[0] += deeper(N); "
     "}\n"},
    {"deeper.cuh", "__device__ inline float deeper(int n) { return n; }\n"},
    {"other.cuh", "#error never included\n"},
};
KernelSource add_source() {
  return {.name = "add",
          .text = "#include \"used.cuh\"\n",
          .kernels = {"add<3>", "add<4>"},
          .headers = kHeaders};
}

TEST(CubinKey, DependsOnWhatIsIncludedAndOnNothingElse) {
  std::string key = cubin_key(add_source(), "sm_90a", 13000);
  EXPECT_NE(key, cubin_key(add_source(), "sm_80", 13000));
  EXPECT_NE(key, cubin_key(add_source(), "sm_90a", 12040));
  EmbeddedFile headers[] = {kHeaders[0], kHeaders[1], kHeaders[2]};
  KernelSource source = add_source();
  source.headers = headers;
  headers[2].text = "changed";
  EXPECT_EQ(key, cubin_key(source, "sm_90a", 13000));
  headers[1].text = "changed";
  EXPECT_NE(key, cubin_key(source, "sm_90a", 13000));
}

class Compile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!nvrtc().ok()) GTEST_SKIP() << nvrtc().error().text();
    folder_ = std::filesystem::path(::testing::TempDir()) / "tokamak_compile_test";
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(Compile, GivesMachineCodeAndLoweredNames) {
  auto cubin = compile(add_source(), "sm_90a", {});
  ASSERT_TRUE(cubin.ok()) << cubin.error().text();
  EXPECT_GT(cubin->code.size(), 1000u);
  EXPECT_THAT(cubin->lowered_names, ::testing::ElementsAre(HasSubstr("add"), HasSubstr("add")));
  EXPECT_EQ(cubin->log.kernels.size(), 2u);
  EXPECT_GT(cubin->log.kernels[0].registers, 0);
}

TEST_F(Compile, TheLogTellsOfTheKernelHoweverOftenItWasCompiled) {
  for (int i = 0; i < 3; ++i) {
    auto cubin = compile(add_source(), "sm_90a", {});
    ASSERT_TRUE(cubin.ok()) << cubin.error().text();
    EXPECT_EQ(cubin->log.kernels.size(), 2u) << "time " << i;
  }
}

TEST_F(Compile, TheSecondTimeComesFromTheCache) {
  auto first = compile(add_source(), "sm_90a", folder_),
       second = compile(add_source(), "sm_90a", folder_);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->code, second->code);
  EXPECT_EQ(first->lowered_names, second->lowered_names);
  EXPECT_EQ(first->log.kernels[1].registers, second->log.kernels[1].registers);
  auto entry = std::filesystem::directory_iterator(folder_)->path();
  std::string content = base::read_file(entry).value();
  content.back() ^= 1;
  ASSERT_TRUE(base::write_file_atomic(entry, std::string_view(content)).ok());
  auto third = compile(add_source(), "sm_90a", folder_);
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(first->code, third->code) << "a damaged file is made anew";
}

TEST_F(Compile, AMistakeShowsTheCompilersMessage) {
  auto cubin =
      compile({.name = "broken", .text = "__global__ void f() { undeclared(); }"}, "sm_90a", {});
  ASSERT_FALSE(cubin.ok());
  EXPECT_THAT(cubin.error().message, HasSubstr("broken"));
  EXPECT_THAT(cubin.error().message, HasSubstr("undeclared"));
}

TEST_F(Compile, ADeviceThatOnlyCompilesLoadsEachSourceOnce) {
  auto device = CudaDevice::compile_only({}, 1);
  auto module = device->load(add_source());
  ASSERT_TRUE(module.ok()) << module.error().text();
  EXPECT_GT(module->at(0).usage().registers, 0);
  EXPECT_GT(module->at(0).blocks_per_sm(256, 0), 1);
  EXPECT_EQ(device->allocate(16).value().data(), nullptr);
  KernelSource kept = add_source();
  kept.keep_loaded = true;
  module = Module();
  const KernelUsage* first = &device->load(kept)->at(0).usage();
  EXPECT_EQ(first, &device->load(kept)->at(0).usage()) << "it stayed loaded";
}

TEST_F(Compile, ThreadsThatWantTheSameSourceCompileItOnce) {
  auto device = CudaDevice::compile_only({}, 8);
  std::vector<Result<Module>> modules(8, Result<Module>(Module()));
  device->pool().parallel_for(
      8, [&](int64_t i, int) { modules[static_cast<size_t>(i)] = device->load(add_source()); });
  for (const auto& module : modules) {
    ASSERT_TRUE(module.ok()) << module.error().text();
    EXPECT_EQ(&module->at(0).usage(), &modules[0]->at(0).usage());
  }
  EXPECT_EQ(device->num_compiled(), 1);
}

TEST_F(Compile, ADeviceLoadsWhatWasRecordedWithoutCompiling) {
  auto maker = CudaDevice::compile_only({}, 1);
  auto kept = maker->load(add_source());  // Recorded even if it was loaded before.
  auto code = maker->record_code([&]() -> Result<void> {
    TKM_ASSIGN(auto module, maker->load(add_source()));
    TKM_ASSIGN(auto again, maker->load(add_source()));
    return {};
  });
  ASSERT_TRUE(code.ok()) << code.error().text();
  ASSERT_EQ(code->size(), 1u);
  EXPECT_EQ(code->front().name, "add");
  EXPECT_EQ(code->front().key, kernel_key(add_source(), "sm_90a"));

  auto device = CudaDevice::compile_only({}, 1);
  device->offer_code(code->front());
  auto module = device->load(add_source());
  ASSERT_TRUE(module.ok()) << module.error().text();
  EXPECT_EQ(device->num_compiled(), 0);
  EXPECT_EQ(module->at(1).usage().registers, kept->at(1).usage().registers);

  KernelSource other = add_source();  // As in another version of this program.
  other.kernels = {"add<5>"};
  EXPECT_TRUE(device->load(other).ok());
  EXPECT_EQ(device->num_compiled(), 1);

  auto damaged = CudaDevice::compile_only({}, 1);
  code->front().content.back() ^= 1;
  damaged->offer_code(code->front());
  EXPECT_TRUE(damaged->load(add_source()).ok()) << "a damaged cubin is made anew";
  EXPECT_EQ(damaged->num_compiled(), 1);
}

TEST(DecodeCubin, WhatIsNoCubinIsAnErrorThatNamesIt) {
  for (const char* content : {"",
                              "\n",
                              "{}\n",
                              "[]\nab",
                              "no line",
                              R"({"hash":"","names":[1]})"
                              "\n"}) {
    auto cubin = decode_cubin(content, "the file");
    ASSERT_FALSE(cubin.ok()) << content;
    EXPECT_THAT(cubin.error().message, HasSubstr("the file")) << content;
  }
}

/// Loads a kernel that the engine's code does not hold where NVRTC cannot be opened.
void load_without_compiler() {
  ::setenv("TOKAMAK_NVRTC", "/no/such/libnvrtc.so", 1);
  auto device = CudaDevice::compile_only({}, 1);
  device->offer_code({"greedy", "another key", ""});
  auto module = device->load(add_source());
  std::fprintf(stderr, "%s\n", module.ok() ? "loaded" : module.error().text().c_str());
  std::_Exit(module.ok() ? 0 : 3);
}

TEST(WithoutNvrtcDeathTest, AKernelThatTheEngineLacksIsNamedAndTheEngineIsToBeBuiltAgain) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // A process in which NVRTC is not open yet.
  EXPECT_EXIT(load_without_compiler(),
              testing::ExitedWithCode(3),
              "kernel add: the engine holds no machine code for sm_90a that fits this program, and "
              "NVRTC.*\n.*build the engine again");
}

TEST(OpenCuda, WithoutAGpuSaysSo) {
  auto device = open_device(Target::kCuda);
  if (device.ok()) GTEST_SKIP() << "there is one";
  EXPECT_EQ(device.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(device.error().message, ::testing::AnyOf(HasSubstr("driver"), HasSubstr("GPU")));
  EXPECT_THAT(device.error().hint, HasSubstr("--target cpu"));
}

}  // namespace
}  // namespace tokamak::device::cuda
