// SPDX-License-Identifier: Apache-2.0
// A built engine of the cuda target brings the machine code of its kernels along. Needs NVRTC, no
// GPU.
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/api/build.h"
#include "tokamak/base/file.h"
#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/device/cuda/libraries.h"
#include "tokamak/runtime/engine_session.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class EngineCodeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (auto nvrtc = device::cuda::nvrtc(); !nvrtc.ok())
      GTEST_SKIP() << "SKIPPED: " << nvrtc.error().text();
    const char* data = std::getenv("TOKAMAK_TEST_DATA");
    model_ = fs::path(data && *data ? data : "../shared") / "goldens/llama3";
    if (!fs::exists(model_)) GTEST_SKIP() << "SKIPPED: no " << model_ << "; set TOKAMAK_TEST_DATA";
    cache_ = fs::temp_directory_path() / fmt::format("tokamak_engine_code_test_{}", ::getpid());
    ::setenv("TOKAMAK_CACHE_DIR", cache_.c_str(), 1);
  }
  void TearDown() override {
    fs::remove_all(cache_);
    ::unsetenv("TOKAMAK_CACHE_DIR");
  }
  /// Plans a session, which makes all kernels, on a device that has seen none; returns how many
  /// sources needed the compiler.
  static int64_t compiled_by_a_session(const engine::Engine& engine) {
    auto device = device::cuda::CudaDevice::compile_only({}, 2);
    auto code = runtime::session_code(engine, *device);
    EXPECT_TRUE(code.ok()) << code.error().text();
    EXPECT_EQ(code->size(), engine.code.size());
    return device->num_compiled();
  }

  fs::path model_, cache_;
};

TEST_F(EngineCodeTest, opening_a_built_engine_compiles_nothing) {
  auto device = device::cuda::CudaDevice::compile_only({}, 2);
  auto engine = build_engine(model_, *device, {.target = Target::kCuda, .dtype = "bfloat16"});
  ASSERT_TRUE(engine.ok()) << engine.error().text();
  ASSERT_TRUE(save_engine(*engine, cache_ / "engine", false).ok());
  auto read = engine::read_engine(cache_ / "engine");
  ASSERT_TRUE(read.ok()) << read.error().text();
  std::vector<std::string> names;
  for (const engine::EngineCode& code : read->code) names.push_back(code.name);
  for (const char* name :
       {"greedy", "draw", "adjust", "score", "note_tokens", "norm", "rope", "copy_rows"})
    EXPECT_THAT(names, testing::Contains(HasSubstr(name)));
  EXPECT_EQ(read->code_bytes(), engine->code_bytes());
  EXPECT_EQ(compiled_by_a_session(*read), 0);

  // As when the program's kernels have changed since: what does not fit is compiled.
  read->code[0].key = std::string(32, '0');
  EXPECT_EQ(compiled_by_a_session(*read), 1);
}

TEST_F(EngineCodeTest, without_machine_code_loading_compiles) {
  auto device = device::cuda::CudaDevice::compile_only({}, 2);
  BuildOptions options{.target = Target::kCuda, .dtype = "bfloat16", .machine_code = false};
  auto engine = build_engine(model_, *device, options).value();
  EXPECT_TRUE(engine.code.empty());
  EXPECT_EQ(device->num_compiled(), 0);
}

TEST_F(EngineCodeTest, an_engine_of_another_format_or_with_other_bytes_is_refused) {
  auto device = device::open_device(Target::kCpu).value();
  auto engine = build_engine(model_, *device, {.tune = false}).value();
  EXPECT_TRUE(engine.code.empty()) << "kernels of this target are part of the program";
  fs::path folder = cache_ / "engine";
  ASSERT_TRUE(save_engine(engine, folder, false).ok());
  std::string manifest = base::read_file(folder / "config.json").value();
  std::string rank = base::read_file(folder / "rank0.engine").value();

  ASSERT_TRUE(base::write_file_atomic(folder / "rank0.engine", rank + " ").ok());
  EXPECT_THAT(engine::read_engine(folder).error().text(),
              HasSubstr("rank0.engine: its content is not what the manifest says\nhint: build the "
                        "engine again"));

  std::string version = fmt::format("\"format_version\": {}", engine::kFormatVersion);
  size_t at = manifest.find(version);
  ASSERT_NE(at, std::string::npos) << manifest;
  manifest.replace(at, version.size(), "\"format_version\": 1");
  ASSERT_TRUE(base::write_file_atomic(folder / "config.json", std::string_view(manifest)).ok());
  auto old = engine::read_engine(folder);
  EXPECT_EQ(old.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(
      old.error().text(),
      HasSubstr(fmt::format("engine format 1, this program reads {}\nhint: build the engine "
                            "again; it takes seconds",
                            engine::kFormatVersion)));
}

}  // namespace
}  // namespace tokamak::api
