// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Cohere, cohere_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("cohere");
  EXPECT_TRUE(info.spec.layers[0].rotary.interleaved);
}

}  // namespace
}  // namespace tokamak::models
