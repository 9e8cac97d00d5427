// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/rotary_config.h"

#include <cmath>

#include <gmock/gmock.h>

#include "tokamak/base/fields.h"
#include "tokamak/models/families.h"

namespace tokamak::models {
namespace {

using testing::HasSubstr;

/// A small Llama, or another family, with these keys more.
Json config_with(const Json& keys, std::string_view architecture = "LlamaForCausalLM") {
  Json config = {{"architectures", {architecture}},
                 {"hidden_size", 64},
                 {"intermediate_size", 128},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 4},
                 {"head_dim", 16},
                 {"num_hidden_layers", 2},
                 {"vocab_size", 100},
                 {"eos_token_id", 1},
                 {"max_position_embeddings", 512}};
  if (!keys.is_null()) config.update(keys);
  return config;
}

op::RotarySettings settings_of(const Json& keys,
                               std::string_view architecture = "LlamaForCausalLM",
                               size_t layer = 0) {
  auto model = read_model(config_with(keys, architecture));
  EXPECT_TRUE(model.ok()) << keys.dump() << ": " << model.error().text();
  return model.ok() ? model->spec.layers[layer].rotary : op::RotarySettings{};
}

int64_t context_of(const Json& keys, std::string_view architecture = "LlamaForCausalLM") {
  auto model = read_model(config_with(keys, architecture));
  EXPECT_TRUE(model.ok()) << keys.dump() << ": " << model.error().text();
  return model.ok() ? model->spec.max_positions : 0;
}

std::string error_of(const Json& keys, std::string_view architecture = "LlamaForCausalLM") {
  auto model = read_model(config_with(keys, architecture));
  return model.ok() ? "no error" : model.error().message;
}

void expect_same(const Json& keys, const op::RotarySettings& expected) {
  const op::RotarySettings got = settings_of(keys);
  EXPECT_TRUE(base::fields_equal(got, expected)) << keys.dump();
}

TEST(RotaryConfig, settings_are_found_in_every_mixture_of_spellings) {
  op::RotarySettings plain{.rotary_dim = 16, .theta = 500000};
  for (const Json& keys : std::vector<Json>{
           {{"rope_theta", 5e5}},
           {{"rope_parameters", {{"rope_theta", 5e5}}}},
           {{"rope_parameters", {{"rope_type", "default"}}}, {"rope_theta", 500000}},
           {{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 5e5}}},
            {"rope_theta", 5e5}},
           {{"rope_scaling", {{"rope_theta", 5e5}}}},
           {{"rope_scaling", {{"type", "default"}, {"rope_theta", 5e5}}}, {"rope_parameters", {}}},
           {{"rope_parameters", {{"full_attention", {{"rope_theta", 5e5}}}}}},
           {{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}},
            {"rope_theta", 5e5}},
       })
    expect_same(keys, plain);
  op::RotarySettings linear = plain;
  linear.scaling = op::RopeScaling::kLinear;
  linear.factor = 4;
  const Json scaling = {{"rope_type", "linear"}, {"factor", 4.0}};
  for (const Json& keys : std::vector<Json>{
           {{"rope_theta", 5e5}, {"rope_scaling", scaling}},
           {{"rope_theta", 5e5}, {"rope_scaling", {{"type", "linear"}, {"factor", 4}}}},
           {{"rope_scaling", {{"type", "linear"}, {"factor", 4}, {"rope_theta", 5e5}}}},
           {{"rope_theta", 5e5}, {"rope_parameters", scaling}},
           {{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 5e5}}},
            {"rope_scaling", scaling}},
           {{"rope_parameters", {{"factor", 4.0}, {"rope_theta", 5e5}}},
            {"rope_scaling", {{"type", "linear"}}}},
           {{"rope_parameters", scaling},
            {"rope_scaling", {{"type", "linear"}, {"rope_type", "linear"}}},
            {"rope_theta", 5e5}},
       })
    expect_same(keys, linear);
}

TEST(RotaryConfig, the_rotating_part_of_a_head_is_read_wherever_it_stands) {
  for (const Json& keys : std::vector<Json>{
           {{"partial_rotary_factor", 0.75}},
           {{"rope_scaling", {{"rope_type", "default"}, {"partial_rotary_factor", 0.75}}}},
           {{"rope_parameters", {{"partial_rotary_factor", 0.75}}}},
       })
    EXPECT_EQ(settings_of(keys, "Phi3ForCausalLM").rotary_dim, 12) << keys.dump();
  EXPECT_EQ(error_of({{"partial_rotary_factor", 1.5}}),
            "config.json: 'partial_rotary_factor' = 1.5, must be between 0 and 1");
  EXPECT_THAT(error_of({{"partial_rotary_factor", 0.7}}), HasSubstr("rotates 11 of 16 elements"));
}

TEST(RotaryConfig, contradictions_name_both_values_and_both_places) {
  EXPECT_EQ(error_of({{"rope_theta", 1e4}, {"rope_parameters", {{"rope_theta", 5e5}}}}),
            "config.json: 'rope_theta' is 500000.0 in 'rope_parameters', but 10000.0 in the top "
            "level ('rope_theta')");
  EXPECT_EQ(error_of({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}},
                      {"rope_parameters", {{"rope_type", "linear"}, {"factor", 4}}}}),
            "config.json: 'factor' is 2 in 'rope_scaling', but 4 in 'rope_parameters'");
  EXPECT_EQ(error_of({{"rope_scaling", {{"type", "yarn"}, {"factor", 2}}},
                      {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2}}}}),
            "config.json: rotary scaling is 'yarn' in 'rope_scaling.type', but 'linear' in "
            "'rope_parameters.rope_type'");
  EXPECT_THAT(error_of({{"rope_parameters",
                         {{"full_attention", {{"rope_theta", 1e4}}},
                          {"sliding_attention", {{"rope_theta", 2e4}}}}}}),
              HasSubstr("this family's layers are all of one kind"));
}

TEST(RotaryConfig, a_setting_that_nobody_reads_is_an_error_unless_it_changes_nothing) {
  EXPECT_EQ(error_of({{"rope_scaling", {{"factor", 4.0}}}}),
            "config.json: 'rope_scaling.factor' = 4.0 is not read by rotary scaling 'default'");
  EXPECT_THAT(error_of({{"rope_scaling", {{"type", "linear"}, {"factor", 2}, {"beta_fast", 32}}}}),
              HasSubstr("'rope_scaling.beta_fast' = 32 is not read by rotary scaling 'linear'"));
  EXPECT_THAT(error_of({{"rope_scaling", {{"type", "default"}, {"mrope_section", {1, 2}}}}}),
              HasSubstr("mrope_section"));
  EXPECT_EQ(error_of({{"rope_scaling", {{"type", "default"}, {"factor", 1.0}}}}), "no error");
  EXPECT_EQ(error_of({{"rope_scaling",
                       {{"type", "yarn"},
                        {"factor", 4},
                        {"original_max_position_embeddings", 128},
                        {"finetuned", true},
                        {"attention_factor", nullptr}}}}),
            "no error");
  EXPECT_THAT(error_of({{"rope_scaling", "linear"}}), HasSubstr("must be an object"));
  EXPECT_THAT(error_of({{"rope_scaling", {{"type", "linear"}}}}),
              HasSubstr("rotary scaling 'linear' lacks 'factor'"));
  EXPECT_THAT(error_of({{"rope_scaling", {{"type", "linear"}, {"factor", "2"}}}}),
              HasSubstr("'factor' = \"2\" in 'rope_scaling' must be a number"));
}

TEST(RotaryConfig, a_scaling_stretches_the_context) {
  auto yarn = [](const Json& more) {
    Json scaling = {{"type", "yarn"}, {"factor", 4.0}};
    if (!more.is_null()) scaling.update(more);
    return Json{{"rope_scaling", scaling}};
  };
  EXPECT_EQ(context_of(yarn({{"original_max_position_embeddings", 512}})), 2048);
  EXPECT_EQ(context_of(yarn({{"original_max_position_embeddings", 128}})), 512)
      << "it was multiplied already";
  EXPECT_EQ(context_of(yarn({})), 2048);
  EXPECT_EQ(context_of(yarn({{"original_max_position_embeddings", 256}})), 1024)
      << "the explicit factor counts";
  EXPECT_EQ(context_of({{"rope_scaling", {{"type", "linear"}, {"factor", 2.5}}}}), 1280);
  EXPECT_EQ(context_of({{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}}), 512)
      << "beyond, frequencies change with the length";
  EXPECT_EQ(context_of({{"rope_scaling",
                         {{"type", "llama3"},
                          {"factor", 8.0},
                          {"low_freq_factor", 1.0},
                          {"high_freq_factor", 4.0},
                          {"original_max_position_embeddings", 64}}}}),
            512);
  EXPECT_EQ(context_of({}), 512);
  EXPECT_EQ(
      context_of({{"rope_scaling", {{"type", "linear"}, {"factor", 8.0}}}}, "Gemma3ForCausalLM"),
      512)
      << "Gemma 3 counts its scaling";
  EXPECT_THAT(error_of(yarn({{"factor", 1e12}})), HasSubstr("too many or too few"));
  EXPECT_EQ(context_of({{"model_max_length", 4096}}, "CohereForCausalLM"), 4096);
}

TEST(RotaryConfig, dynamic_scaling_is_none_within_the_length_that_is_served) {
  EXPECT_EQ(settings_of({{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}}).scaling,
            op::RopeScaling::kNone);
}

TEST(RotaryConfig, yarns_magnitude_follows_its_weights) {
  auto magnitude = [](const Json& more) {
    Json scaling = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 128}};
    if (!more.is_null()) scaling.update(more);
    return settings_of({{"rope_scaling", scaling}}).attention_factor;
  };
  EXPECT_FLOAT_EQ(magnitude({}), 0.1f * std::log(4.0f) + 1);
  EXPECT_FLOAT_EQ(magnitude({{"attention_factor", 1.5}}), 1.5f);
  EXPECT_FLOAT_EQ(magnitude({{"mscale", 1.0}, {"mscale_all_dim", 1.0}}), 1);
  EXPECT_FLOAT_EQ(magnitude({{"mscale", 2.0}, {"mscale_all_dim", 0.5}}),
                  (0.2f * std::log(4.0f) + 1) / (0.05f * std::log(4.0f) + 1));
}

TEST(RotaryConfig, longrope_has_factors_for_both_lengths) {
  Json lists = {{"short_factor", Json::array()}, {"long_factor", Json::array()}};
  for (int i = 0; i < 8; ++i) {
    lists["short_factor"].push_back(1 + 0.25 * i);
    lists["long_factor"].push_back(2 + i);
  }
  for (const char* name : {"longrope", "su", "yarn"}) {
    Json scaling = lists;
    scaling["type"] = name;
    auto s = settings_of({{"rope_scaling", scaling}, {"original_max_position_embeddings", 64}},
                         "Phi3ForCausalLM");
    EXPECT_EQ(s.scaling, op::RopeScaling::kLongRope);
    EXPECT_EQ(s.factors[3], 1.75f);
    EXPECT_EQ(s.long_factors[3], 5.0f);
    EXPECT_EQ(s.original_max_positions, 64);
    EXPECT_FLOAT_EQ(s.attention_factor, std::sqrt(1 + std::log(8.0f) / std::log(64.0f)));
    scaling["factor"] = 2.0;
    s = settings_of({{"rope_scaling", scaling}, {"original_max_position_embeddings", 64}},
                    "Phi3ForCausalLM");
    EXPECT_FLOAT_EQ(s.attention_factor, std::sqrt(1 + std::log(2.0f) / std::log(64.0f)));
  }
  lists["type"] = "longrope";
  EXPECT_EQ(settings_of({{"rope_scaling", lists}}, "Phi3ForCausalLM").original_max_positions, 4096);
  lists.erase("short_factor");
  EXPECT_THAT(error_of({{"rope_scaling", lists}}), HasSubstr("lacks 'short_factor'"));
}

TEST(RotaryConfig, gemma3_has_settings_for_each_kind_of_layers) {
  auto thetas = [](const Json& keys) {
    Json all = keys;
    all["layer_types"] = {"sliding_attention", "full_attention"};
    return std::pair(settings_of(all, "Gemma3ForCausalLM", 0).theta,
                     settings_of(all, "Gemma3ForCausalLM", 1).theta);
  };
  EXPECT_EQ(thetas({}), std::pair(1e4f, 1e6f));
  EXPECT_EQ(thetas({{"rope_theta", 2e6}, {"rope_local_base_freq", 2e4}}), std::pair(2e4f, 2e6f));
  EXPECT_EQ(thetas({{"rope_parameters",
                     {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 3e6}}},
                      {"sliding_attention", {{"rope_theta", 3e4}}}}}}),
            std::pair(3e4f, 3e6f));
  EXPECT_EQ(thetas({{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}},
                    {"rope_theta", 4e6},
                    {"rope_local_base_freq", 4e4}}),
            std::pair(4e4f, 4e6f));
  const Json scaled = {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}},
                       {"layer_types", {"sliding_attention", "full_attention"}}};
  EXPECT_EQ(settings_of(scaled, "Gemma3ForCausalLM", 0).factor, 1.0f);
  EXPECT_EQ(settings_of(scaled, "Gemma3ForCausalLM", 1).factor, 8.0f);
  EXPECT_THAT(error_of({{"rope_theta", 1e6},
                        {"rope_parameters", {{"full_attention", {{"rope_theta", 3e6}}}}}},
                       "Gemma3ForCausalLM"),
              HasSubstr("'rope_theta' is 3000000.0 in 'rope_parameters.full_attention', but "));
}

}  // namespace
}  // namespace tokamak::models
