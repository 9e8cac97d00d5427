// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Qwen2, qwen2_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("qwen2");
  EXPECT_TRUE(info.spec.qkv_bias);
  EXPECT_EQ(info.spec.layers[0].window, 0);
}

}  // namespace
}  // namespace tokamak::models
