// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/harmless_keys.h"

#include <gtest/gtest.h>

namespace tokamak::models {
namespace {

TEST(HarmlessKeys, have_the_values_at_which_they_change_nothing) {
  EXPECT_TRUE(is_harmless("_attn_implementation_autoset", true));
  EXPECT_TRUE(is_harmless("is_llama_config", true));
  EXPECT_TRUE(is_harmless("transformers.js_config", {{"kv_cache_dtype", "float16"}}));
  EXPECT_TRUE(is_harmless("unsloth_version", "2025.3"));
  EXPECT_TRUE(is_harmless("interpolate_factor", 1));
  EXPECT_FALSE(is_harmless("interpolate_factor", 2));
  EXPECT_TRUE(is_harmless("full_attn_mod", 1.0));
  EXPECT_FALSE(is_harmless("full_attn_mod", 4));
  EXPECT_TRUE(is_harmless("diversity_penalty", 0.0));
  EXPECT_FALSE(is_harmless("diversity_penalty", 0.5));
  EXPECT_TRUE(is_harmless("typical_p", 1));
  EXPECT_FALSE(is_harmless("typical_p", 0.9));
  EXPECT_TRUE(is_harmless("num_beam_groups", 1));
  EXPECT_TRUE(is_harmless("pruned_heads", Json::object()));
  EXPECT_FALSE(is_harmless("pruned_heads", {{"0", {1, 2}}}));
}

TEST(HarmlessKeys, a_feature_that_is_off_is_harmless_and_one_that_is_on_is_not) {
  for (const Json& off : {Json(), Json(false), Json::array(), Json::object()})
    EXPECT_TRUE(is_harmless("some_feature", off)) << off;
  for (const Json& on : {Json(true), Json(0), Json(""), Json("x"), Json::array({0})})
    EXPECT_FALSE(is_harmless("some_feature", on)) << on;
  EXPECT_FALSE(is_harmless("rope_interleaved", true));
  EXPECT_FALSE(is_harmless("is_encoder_decoder", true));
}

TEST(HarmlessKeys, layer_types_that_are_all_full_attention_say_nothing) {
  EXPECT_TRUE(is_harmless("layer_types", {"full_attention", "full_attention"}));
  EXPECT_FALSE(is_harmless("layer_types", {"full_attention", "sliding_attention"}));
}

}  // namespace
}  // namespace tokamak::models
