// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/families.h"

#include <gmock/gmock.h>

#include "tokamak/base/file.h"
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

using testing::HasSubstr;

Json tiny_llama() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"hidden_size", 64},
          {"intermediate_size", 128},
          {"num_attention_heads", 4},
          {"num_hidden_layers", 1},
          {"vocab_size", 100},
          {"max_position_embeddings", 32},
          {"rms_norm_eps", 1e-5}};
}

std::string error_with(const char* key, const Json& value) {
  Json config = tiny_llama();
  config[key] = value;
  auto model = read_model(config);
  return model.ok() ? "no error" : model.error().message;
}

TEST(ReadModel, a_key_that_could_change_the_numbers_is_an_error_that_names_it) {
  ASSERT_TRUE(read_model(tiny_llama()).ok());
  EXPECT_THAT(error_with("attn_logit_softcapping", 50.0),
              HasSubstr("'attn_logit_softcapping' = 50.0 is not known"));
  EXPECT_EQ(error_with("attention_dropout", 0.1), "no error");
  EXPECT_EQ(error_with("some_feature", false), "no error");
}

TEST(ReadModel, wrong_values_are_named_with_their_limits) {
  EXPECT_THAT(error_with("hidden_size", -1),
              HasSubstr("'hidden_size' = -1, must be between 1 and"));
  EXPECT_THAT(error_with("hidden_size", "big"),
              HasSubstr("'hidden_size' must be an integer, but is string"));
  EXPECT_THAT(error_with("vocab_size", Json()), HasSubstr("'vocab_size' is missing"));
  EXPECT_THAT(error_with("hidden_act", "mish"), HasSubstr("'hidden_act' = 'mish' is not one of"));
  EXPECT_THAT(error_with("eos_token_id", 100),
              HasSubstr("eos_token_id 100 is outside the vocabulary of 100"));
  EXPECT_THAT(error_with("rope_scaling", Json{{"type", "ntk"}, {"factor", 2.0}}),
              HasSubstr("rotary scaling 'ntk'"));
  EXPECT_THAT(error_with("quantization_config", Json{{"bits", 4}}),
              HasSubstr("quantized checkpoints"));
}

TEST(ReadModel, end_tokens_are_those_of_both_configurations) {
  auto ends = [](const Json& in_config, const Json& in_generation_config) {
    Json config = tiny_llama();
    config["eos_token_id"] = in_config;
    return read_model(config, Json{{"eos_token_id", in_generation_config}}).value().eos_ids;
  };
  EXPECT_THAT(ends(2, Json()), testing::ElementsAre(2));
  EXPECT_THAT(ends(2, Json{5, 3}), testing::ElementsAre(5, 3, 2));
  EXPECT_THAT(ends(Json{3, 4}, 3), testing::ElementsAre(3, 4));
  // One that cannot come up matters only where it is the only one.
  EXPECT_THAT(ends(100, 3), testing::ElementsAre(3));
}

TEST(ReadModel, families_that_are_not_supported_are_refused_by_name) {
  EXPECT_EQ(error_with("architectures", {"MixtralForCausalLM"}),
            "MixtralForCausalLM: mixture-of-experts models are not supported yet");
  EXPECT_EQ(error_with("architectures", {"DeepseekV3ForCausalLM"}),
            "DeepseekV3ForCausalLM: multi-head latent attention is not supported yet");
  EXPECT_EQ(error_with("architectures", {"LlavaForConditionalGeneration"}),
            "LlavaForConditionalGeneration: multimodal models are not supported yet");
  EXPECT_EQ(error_with("architectures", {"NoSuchModel"}),
            "architecture 'NoSuchModel' is not supported");
}

TEST(ReadModel, both_spellings_of_rotary_settings_give_the_same) {
  Json older = tiny_llama(), newer = tiny_llama();
  older["rope_theta"] = 500000.0;
  older["rope_scaling"] = {{"rope_type", "llama3"},
                           {"factor", 8.0},
                           {"low_freq_factor", 1.0},
                           {"high_freq_factor", 4.0},
                           {"original_max_position_embeddings", 16}};
  newer["rope_parameters"] = older["rope_scaling"];
  newer["rope_parameters"]["rope_theta"] = 500000.0;
  auto a = read_model(older), b = read_model(newer);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_TRUE(base::fields_equal(a->spec.layers[0].rotary, b->spec.layers[0].rotary));
  EXPECT_EQ(a->spec.layers[0].rotary.theta, 500000.0f);
}

TEST(ReadModel, every_published_dense_config_is_read) {
  TKM_NEED_TEST_DATA();
  for (const char* name : {"Llama-2-7b-hf",
                           "Llama-2-70b-hf",
                           "Meta-Llama-3-8B",
                           "Llama-3.1-8B-Instruct",
                           "Llama-3.2-1B-Instruct",
                           "Meta-Llama-3.1-405B",
                           "TinyLlama-1.1B-Chat-v1.0",
                           "Mistral-7B-Instruct-v0.2",
                           "Mistral-7B-Instruct-v0.3",
                           "Qwen2-7B-Instruct",
                           "Qwen2.5-7B-Instruct",
                           "Qwen3-0.6B",
                           "Qwen3-8B",
                           "Phi-3-mini-4k-instruct",
                           "Phi-3-mini-128k-instruct",
                           "gemma-2-9b",
                           "gemma-2-27b",
                           "gpt2",
                           "gpt2-medium",
                           "olmo2-7b",
                           "Baichuan2-7B-Chat"}) {
    auto info = read_model(test_data() / "assets" / "configs" / name);
    ASSERT_TRUE(info.ok()) << name << ": " << info.error().text();
    auto graph = decoder_graph(info->spec, DType::kBF16);
    EXPECT_TRUE(graph.ok()) << name << ": " << graph.error().text();
  }
}

TEST(ReadModel, parameter_counts_are_the_published_ones) {
  TKM_NEED_TEST_DATA();
  auto parameters = [](const char* name) {
    auto graph = decoder_graph(read_model(test_data() / "assets" / "configs" / name).value().spec,
                               DType::kBF16)
                     .value();
    int64_t count = 0;
    for (ir::Value weight : graph->weights())
      count += tensor::num_elements(weight.type().resolve(0, 0));
    return count;
  };
  EXPECT_EQ(parameters("Meta-Llama-3-8B"), 8'030'261'248);
  EXPECT_EQ(parameters("Qwen2.5-7B-Instruct"), 7'615'616'512);
  EXPECT_EQ(parameters("TinyLlama-1.1B-Chat-v1.0"), 1'100'048'384);
  EXPECT_EQ(parameters("gpt2"), 124'439'808);
}

}  // namespace
}  // namespace tokamak::models
