// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Mistral, mistral_swa_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("mistral_swa");
  EXPECT_EQ(info.spec.layers[0].window, 32);
}

}  // namespace
}  // namespace tokamak::models
