// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Glm4, glm4_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("glm4");
  EXPECT_EQ(info.spec.layers[0].rotary.rotary_dim, 16);
}

}  // namespace
}  // namespace tokamak::models
