// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Gemma2, gemma2_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("gemma2");
  EXPECT_EQ(info.spec.layers[0].window, 32);
  EXPECT_EQ(info.spec.layers[1].window, 0);
}

}  // namespace
}  // namespace tokamak::models
