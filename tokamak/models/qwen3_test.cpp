// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Qwen3, qwen3_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("qwen3");
  EXPECT_EQ(info.spec.qk_norm, QkNorm::kPerHead);
}

}  // namespace
}  // namespace tokamak::models
