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
  EXPECT_THAT(error_with("num_hidden_layers", 4097),
              HasSubstr("'num_hidden_layers' = 4097, must be at most 4096"));
  EXPECT_THAT(error_with("num_attention_heads", 3),
              HasSubstr("hidden size 64 cannot be divided among 3 attention heads"));
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

TEST(ReadModel, end_tokens_that_are_no_ids_are_refused) {
  EXPECT_EQ(error_with("eos_token_id", "3"),
            "config.json: 'eos_token_id' must be a token id or a list of them, but is \"3\"");
  EXPECT_THAT(error_with("eos_token_id", Json{0, "3"}), HasSubstr("must be a token id"));
  EXPECT_THAT(error_with("bos_token_id", true), HasSubstr("'bos_token_id' must be a token id"));
  EXPECT_EQ(read_model(tiny_llama(), Json{{"eos_token_id", "3"}}).error().message,
            "generation_config.json: 'eos_token_id' must be a token id or a list of them, but is "
            "\"3\"");
  EXPECT_EQ(read_model(tiny_llama(), Json{{"eos_token_id", 100}}).error().message,
            "generation_config.json: eos_token_id 100 is outside the vocabulary of 100");
  EXPECT_EQ(error_with("eos_token_id", 3.0), "no error") << "JSON does not tell 3.0 from 3";
}

TEST(ReadModel, a_model_type_of_another_family_is_refused) {
  EXPECT_EQ(error_with("model_type", "qwen3"),
            "config.json: 'architectures' is LlamaForCausalLM, but 'model_type' is qwen3, which is "
            "Qwen3ForCausalLM");
  EXPECT_EQ(error_with("model_type", "llama"), "no error");
  EXPECT_EQ(error_with("model_type", "my_own_llama"), "no error");
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

/// The config class of each family in Hugging Face transformers (5.24), Baichuan's in its
/// repository.
struct UsualModel {
  const char* architecture;
  int64_t vocab_size, hidden_size, intermediate_size, num_layers, num_heads, num_kv_heads, head_dim,
      max_positions;
  double norm_eps, theta;
  int64_t rotary_dim;
  bool tied;
  int64_t window_of_first_layer;
  int64_t bos_id;
  std::vector<int64_t> eos_ids;
};

TEST(ReadModel, missing_keys_have_the_values_of_the_familys_config_class) {
  const std::vector<UsualModel> models = {
      {"LlamaForCausalLM",
       32000,
       4096,
       11008,
       32,
       32,
       32,
       128,
       2048,
       1e-6,
       1e4,
       128,
       false,
       0,
       1,
       {2}},
      {"MistralForCausalLM",
       32000,
       4096,
       14336,
       32,
       32,
       8,
       128,
       131072,
       1e-6,
       1e4,
       128,
       false,
       4096,
       1,
       {2}},
      {"Qwen2ForCausalLM",
       151936,
       4096,
       22016,
       32,
       32,
       32,
       128,
       32768,
       1e-6,
       1e4,
       128,
       false,
       0,
       -1,
       {}},
      {"Qwen3ForCausalLM",
       151936,
       4096,
       22016,
       32,
       32,
       32,
       128,
       32768,
       1e-6,
       1e4,
       128,
       false,
       0,
       -1,
       {}},
      {"Phi3ForCausalLM",
       32064,
       3072,
       8192,
       32,
       32,
       32,
       96,
       4096,
       1e-5,
       1e4,
       96,
       false,
       0,
       1,
       {32000}},
      {"Gemma2ForCausalLM",
       256000,
       2304,
       9216,
       26,
       8,
       4,
       256,
       8192,
       1e-6,
       1e4,
       256,
       true,
       4096,
       2,
       {1}},
      {"Gemma3ForCausalLM",
       262208,
       2304,
       9216,
       26,
       8,
       4,
       256,
       131072,
       1e-6,
       1e4,
       256,
       true,
       4096,
       2,
       {1}},
      {"Olmo2ForCausalLM",
       50304,
       4096,
       11008,
       32,
       32,
       32,
       128,
       2048,
       1e-5,
       1e4,
       128,
       false,
       0,
       -1,
       {50279}},
      {"GraniteForCausalLM",
       32000,
       4096,
       11008,
       32,
       32,
       32,
       128,
       2048,
       1e-6,
       1e4,
       128,
       false,
       0,
       1,
       {2}},
      {"Starcoder2ForCausalLM",
       49152,
       3072,
       12288,
       30,
       24,
       2,
       128,
       4096,
       1e-5,
       1e4,
       128,
       true,
       0,
       -1,
       {}},
      {"Glm4ForCausalLM",
       151552,
       4096,
       13696,
       40,
       32,
       2,
       128,
       131072,
       1.5625e-7,
       1e4,
       64,
       false,
       0,
       -1,
       {151329, 151336, 151338}},
      {"GPT2LMHeadModel",
       50257,
       768,
       3072,
       12,
       12,
       12,
       64,
       1024,
       1e-5,
       1e4,
       0,
       true,
       0,
       50256,
       {50256}},
      {"CohereForCausalLM",
       256000,
       8192,
       22528,
       40,
       64,
       64,
       128,
       8192,
       1e-5,
       5e5,
       128,
       true,
       0,
       5,
       {255001}},
      {"BaichuanForCausalLM",
       125696,
       4096,
       11008,
       32,
       32,
       32,
       128,
       4096,
       1e-6,
       1e4,
       128,
       false,
       0,
       1,
       {2}},
  };
  size_t supported = 0;
  for (const Family& family : families()) supported += family.spec != nullptr;
  EXPECT_EQ(models.size(), supported);
  for (const UsualModel& usual : models) {
    SCOPED_TRACE(usual.architecture);
    auto model = read_model(Json{{"architectures", {usual.architecture}}});
    ASSERT_TRUE(model.ok()) << model.error().text();
    const DecoderSpec& s = model->spec;
    EXPECT_EQ(s.vocab_size, usual.vocab_size);
    EXPECT_EQ(s.hidden_size, usual.hidden_size);
    EXPECT_EQ(s.intermediate_size, usual.intermediate_size);
    EXPECT_EQ(static_cast<int64_t>(s.layers.size()), usual.num_layers);
    EXPECT_EQ(s.num_heads, usual.num_heads);
    EXPECT_EQ(s.num_kv_heads, usual.num_kv_heads);
    EXPECT_EQ(s.head_dim, usual.head_dim);
    EXPECT_EQ(s.max_positions, usual.max_positions);
    EXPECT_EQ(s.norm_eps, static_cast<float>(usual.norm_eps));
    EXPECT_EQ(s.layers[0].rotary.theta, static_cast<float>(usual.theta));
    EXPECT_EQ(s.layers[0].rotary.rotary_dim, usual.rotary_dim);
    EXPECT_EQ(s.tied_embeddings, usual.tied);
    EXPECT_EQ(s.layers[0].window, usual.window_of_first_layer);
    EXPECT_EQ(model->bos_id, usual.bos_id);
    EXPECT_EQ(model->eos_ids, usual.eos_ids);
  }
}

TEST(ReadModel, missing_keys_of_one_family_alone_have_its_values_too) {
  auto spec = [](const char* architecture) {
    return read_model(Json{{"architectures", {architecture}}}).value().spec;
  };
  DecoderSpec gemma2 = spec("Gemma2ForCausalLM"), gemma3 = spec("Gemma3ForCausalLM");
  EXPECT_EQ(gemma2.attention_softcap, 50);
  EXPECT_EQ(gemma2.logits_softcap, 30);
  EXPECT_EQ(gemma2.attention_scale, 1.0f / 16);
  EXPECT_EQ(gemma2.layers[1].window, 0);
  EXPECT_EQ(gemma3.attention_softcap, 0);
  EXPECT_EQ(gemma3.logits_softcap, 0);
  EXPECT_EQ(gemma3.layers[4].window, 4096);
  EXPECT_EQ(gemma3.layers[5].window, 0);
  EXPECT_EQ(gemma3.layers[5].rotary.theta, 1e6f);
  EXPECT_TRUE(spec("Glm4ForCausalLM").qkv_bias);
  EXPECT_TRUE(spec("Starcoder2ForCausalLM").mlp_bias);
  EXPECT_EQ(spec("CohereForCausalLM").logits_scale, 0.0625f);
  EXPECT_EQ(spec("GraniteForCausalLM").attention_scale, 1);
  DecoderSpec windows =
      read_model(Json{{"architectures", {"Qwen2ForCausalLM"}}, {"use_sliding_window", true}})
          .value()
          .spec;
  EXPECT_EQ(windows.layers[27].window, 0);
  EXPECT_EQ(windows.layers[28].window, 4096);
}

TEST(ReadModel, null_turns_off_what_a_missing_key_has) {
  auto spec = [](const char* architecture, const Json& more) {
    Json config = {{"architectures", {architecture}}};
    config.update(more);
    return read_model(config).value().spec;
  };
  EXPECT_EQ(spec("MistralForCausalLM", {{"sliding_window", nullptr}}).layers[0].window, 0);
  EXPECT_EQ(spec("MistralForCausalLM", {{"num_key_value_heads", nullptr}}).num_kv_heads, 32);
  EXPECT_EQ(spec("Gemma2ForCausalLM", {{"attn_logit_softcapping", nullptr}}).attention_softcap, 0);
  EXPECT_EQ(spec("Gemma2ForCausalLM", {{"final_logit_softcapping", nullptr}}).logits_softcap, 0);
  EXPECT_EQ(spec("Qwen3ForCausalLM", {{"hidden_size", 2048}, {"head_dim", nullptr}}).head_dim, 64);
}

TEST(ReadModel, ends_are_the_familys_only_where_nobody_says_otherwise_and_it_can_have_them) {
  const Json llama = {{"architectures", {"LlamaForCausalLM"}}};
  auto ends = [&](const Json& more, const Json& generation = Json::object()) {
    Json config = llama;
    if (!more.is_null()) config.update(more);
    return read_model(config, generation).value().eos_ids;
  };
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(ends({}), Ids{2});
  EXPECT_EQ(ends({{"eos_token_id", 7}}), Ids{7});
  EXPECT_EQ(ends({{"eos_token_id", nullptr}}), Ids{});
  EXPECT_EQ(ends({}, {{"eos_token_id", {3, 4}}}), (Ids{3, 4}));
  EXPECT_EQ(ends({{"vocab_size", 2}, {"bos_token_id", 0}}), Ids{});
}

TEST(ReadModel, layer_types_are_counted_and_known) {
  const Json gemma = {{"architectures", {"Gemma2ForCausalLM"}}, {"num_hidden_layers", 2}};
  auto error = [&](const Json& types) {
    Json config = gemma;
    config["layer_types"] = types;
    auto model = read_model(config);
    return model.ok() ? "no error" : model.error().message;
  };
  EXPECT_EQ(error({"full_attention", "sliding_attention"}), "no error");
  EXPECT_EQ(error({"full_attention"}),
            "config.json: 'layer_types' names 1 layers, but there are 2");
  EXPECT_THAT(error({"full_attention", "linear_attention"}), HasSubstr("'linear_attention'"));
  Json mistral = {{"architectures", {"MistralForCausalLM"}}, {"num_hidden_layers", 2}};
  mistral["layer_types"] = {"full_attention", "sliding_attention"};
  EXPECT_THAT(read_model(mistral).error().message,
              HasSubstr("'layer_types' contradicts 'sliding_window'"));
}

TEST(ReadModel, a_key_may_have_its_other_name_but_not_two_values) {
  Json config = {{"architectures", {"GPT2LMHeadModel"}}, {"hidden_size", 48}, {"n_head", 4}};
  EXPECT_EQ(read_model(config).value().spec.hidden_size, 48);
  config["n_embd"] = 64;
  EXPECT_EQ(read_model(config).error().message,
            "config.json: 'hidden_size' = 48 contradicts 'n_embd' = 64");
}

TEST(DecoderGraph, sizes_that_no_weight_can_have_are_refused) {
  for (const char* key : {"head_dim", "intermediate_size", "vocab_size", "num_attention_heads"}) {
    Json config = tiny_llama();
    config["head_dim"] = 16;
    config["hidden_size"] = int64_t{1} << 20;
    config["num_key_value_heads"] = 1;
    config[key] = (int64_t{1} << 31) - 2;
    auto graph = decoder_graph(read_model(config).value().spec, DType::kF32);
    ASSERT_FALSE(graph.ok()) << key;
    EXPECT_THAT(graph.error().message, HasSubstr("a weight has at most 2^40")) << key;
  }
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
