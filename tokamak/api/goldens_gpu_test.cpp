// SPDX-License-Identifier: Apache-2.0
// Every dense family on the GPU: checkpoint -> engine -> session -> logits, prompts in one step and
// token by token through captured graphs.
#include <cstdlib>

#include <gtest/gtest.h>

#include "tokamak/api/build.h"
#include "tokamak/api/verify.h"
#include "tokamak/base/fields.h"
#include "tokamak/runtime/engine_session.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

fs::path test_data() {
  const char* folder = std::getenv("TOKAMAK_TEST_DATA");
  return folder && *folder ? folder : "../shared";
}

struct Case {
  std::string family, dtype;
};

std::vector<Case> all_cases() {
  std::vector<Case> out;
  for (const char* family : {"llama2",
                             "llama3",
                             "llama_mqa_bias",
                             "mistral_swa",
                             "qwen2",
                             "qwen3",
                             "phi3",
                             "gemma2",
                             "gemma3_text",
                             "olmo2",
                             "granite",
                             "starcoder2",
                             "gpt2",
                             "cohere",
                             "glm4"}) {
    for (const char* dtype : {"float32", "bfloat16"}) out.push_back({family, dtype});
  }
  return out;
}

class GoldensOnGpu : public testing::TestWithParam<Case> {};

TEST_P(GoldensOnGpu, are_met_within_the_tolerance_of_the_dtype) {
  fs::path folder = test_data() / "goldens" / GetParam().family;
  if (!fs::exists(folder))
    GTEST_SKIP() << "SKIPPED: no test data in " << test_data() << "; set TOKAMAK_TEST_DATA";
  auto device = device::open_device(Target::kCuda);
  if (!device.ok()) GTEST_SKIP() << "SKIPPED: " << device.error().text();
  BuildOptions options{.target = Target::kCuda, .dtype = GetParam().dtype, .tune = false};
  auto engine = build_engine(folder, **device, options);
  ASSERT_TRUE(engine.ok()) << engine.error().text();
  auto session = runtime::open_session(
      *engine, *device, {.max_step_tokens = 64, .max_step_rows = 64, .max_sequences = 1});
  ASSERT_TRUE(session.ok()) << session.error().text();
  auto report =
      verify(**session, folder / "golden.safetensors", verify_tolerance(engine->manifest.dtype));
  ASSERT_TRUE(report.ok()) << report.error().text();
  for (const PromptCheck& prompt : report->prompts) {
    EXPECT_LE(prompt.relative_error, report->tolerance) << prompt.name;
    // Another token than the reference's is right only where the two best were as good as equal.
    if (prompt.generated_equal < prompt.generated) {
      EXPECT_LT(prompt.gap_at_difference, GetParam().dtype == "float32" ? 1e-3 : 5e-2)
          << prompt.name << " after " << prompt.generated_equal << " tokens";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GoldensOnGpu, testing::ValuesIn(all_cases()), [](const auto& i) {
  return i.param.family + "_" + i.param.dtype;
});

}  // namespace
}  // namespace tokamak::api
