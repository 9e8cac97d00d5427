// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Phi3, phi3_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  expect_golden("phi3");
}

}  // namespace
}  // namespace tokamak::models
