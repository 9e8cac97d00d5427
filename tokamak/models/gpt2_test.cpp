// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Gpt2, gpt2_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("gpt2");
  EXPECT_EQ(info.spec.layers[0].rotary.rotary_dim, 0);
}

}  // namespace
}  // namespace tokamak::models
