// SPDX-License-Identifier: Apache-2.0
// A built engine is opened and run on the GPU without compiling a kernel.
#include <cstdlib>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/api/build.h"
#include "tokamak/api/verify.h"
#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/runtime/engine_session.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

TEST(EngineCodeOnGpu, a_session_of_a_built_engine_compiles_nothing) {
  const char* data = std::getenv("TOKAMAK_TEST_DATA");
  fs::path model = fs::path(data && *data ? data : "../shared") / "goldens/llama3";
  if (!fs::exists(model)) GTEST_SKIP() << "SKIPPED: no " << model << "; set TOKAMAK_TEST_DATA";
  auto builder = device::open_device(Target::kCuda);
  if (!builder.ok()) GTEST_SKIP() << "SKIPPED: " << builder.error().text();
  fs::path folder = fs::temp_directory_path() / fmt::format("tokamak_engine_code_{}", ::getpid());
  BuildOptions options{.target = Target::kCuda, .dtype = "bfloat16", .tune = false};
  auto engine = build_engine(model, **builder, options);
  ASSERT_TRUE(engine.ok()) << engine.error().text();
  ASSERT_TRUE(save_engine(*engine, folder, false).ok());

  auto device = device::open_device(Target::kCuda).value();
  auto read = engine::read_engine(folder);
  fs::remove_all(folder);
  ASSERT_TRUE(read.ok()) << read.error().text();
  auto session = runtime::open_session(
      *read, device, {.max_step_tokens = 64, .max_step_rows = 64, .max_sequences = 1});
  ASSERT_TRUE(session.ok()) << session.error().text();
  auto report =
      verify(**session, model / "golden.safetensors", verify_tolerance(read->manifest.dtype));
  ASSERT_TRUE(report.ok()) << report.error().text();
  EXPECT_EQ(device::cuda::cuda_device(*device).num_compiled(), 0);
}

}  // namespace
}  // namespace tokamak::api
