// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

TEST(Llama, llama2_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  expect_golden("llama2");
}

TEST(Llama, llama3_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("llama3");
  EXPECT_EQ(info.spec.layers[0].rotary.scaling, op::RopeScaling::kLlama3);
  EXPECT_TRUE(info.spec.tied_embeddings);
}

TEST(Llama, llama_mqa_bias_meets_its_golden_logits) {
  TKM_NEED_TEST_DATA();
  ModelInfo info = expect_golden("llama_mqa_bias");
  EXPECT_EQ(info.spec.num_kv_heads, 1);
  EXPECT_TRUE(info.spec.mlp_bias);
}

}  // namespace
}  // namespace tokamak::models
