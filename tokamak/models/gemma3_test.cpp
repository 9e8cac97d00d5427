// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Gemma3, gemma3_text_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("gemma3_text");
  EXPECT_EQ(info.spec.layers[0].rotary.theta, 10000.0f);
}

}  // namespace
}  // namespace tokamak::models
