// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/families.h"

#include <algorithm>

#include "tokamak/base/file.h"

namespace tokamak::models {

// FAMILY(function, architecture as config.json spells it): the one table of supported families.
#define TKM_FAMILIES(FAMILY)                  \
  FAMILY(llama, "LlamaForCausalLM")           \
  FAMILY(mistral, "MistralForCausalLM")       \
  FAMILY(qwen2, "Qwen2ForCausalLM")           \
  FAMILY(qwen3, "Qwen3ForCausalLM")           \
  FAMILY(phi3, "Phi3ForCausalLM")             \
  FAMILY(gemma2, "Gemma2ForCausalLM")         \
  FAMILY(gemma3, "Gemma3ForCausalLM")         \
  FAMILY(olmo2, "Olmo2ForCausalLM")           \
  FAMILY(granite, "GraniteForCausalLM")       \
  FAMILY(starcoder2, "Starcoder2ForCausalLM") \
  FAMILY(glm4, "Glm4ForCausalLM")             \
  FAMILY(gpt2, "GPT2LMHeadModel")             \
  FAMILY(cohere, "CohereForCausalLM")         \
  FAMILY(baichuan, "BaichuanForCausalLM")

#define TKM_DECLARE(function, architecture) DecoderSpec function(ConfigReader& config);
TKM_FAMILIES(TKM_DECLARE)
#undef TKM_DECLARE

namespace {

constexpr std::string_view kNoMoe = "mixture-of-experts models are not supported yet";
constexpr std::string_view kNoMla = "multi-head latent attention is not supported yet";
constexpr std::string_view kNoVision = "multimodal models are not supported yet";

#define TKM_ROW(function, architecture) {#function, architecture, function, ""},
constexpr Family kFamilies[] = {
    TKM_FAMILIES(TKM_ROW)
    // Known and refused by name.
    {"mixtral", "MixtralForCausalLM", nullptr, kNoMoe},
    {"qwen3_moe", "Qwen3MoeForCausalLM", nullptr, kNoMoe},
    {"gpt_oss", "GptOssForCausalLM", nullptr, kNoMoe},
    {"llama4", "Llama4ForCausalLM", nullptr, kNoMoe},
    {"llama4", "Llama4ForConditionalGeneration", nullptr, kNoMoe},
    {"deepseek_v2", "DeepseekV2ForCausalLM", nullptr, kNoMla},
    {"deepseek_v3", "DeepseekV3ForCausalLM", nullptr, kNoMla},
    {"llava", "LlavaForConditionalGeneration", nullptr, kNoVision},
};
#undef TKM_ROW

std::vector<int64_t> token_ids(const Json& json, std::string_view key) {
  const Json* value = base::find(json, key);
  std::vector<int64_t> out;
  if (!value) return out;
  if (value->is_number_integer()) out.push_back(value->get<int64_t>());
  for (const Json& element : value->is_array() ? *value : Json::array()) {
    if (element.is_number_integer()) out.push_back(element.get<int64_t>());
  }
  return out;
}

Result<const Family*> find_family(const Json& config) {
  const Json* list = base::find(config, "architectures");
  if (!list || !list->is_array() || list->empty() || !(*list)[0].is_string()) {
    return base::invalid("config.json: 'architectures' is missing or is not a list of strings");
  }
  const auto& architecture = (*list)[0].get_ref<const std::string&>();
  std::string known;
  for (const Family& family : families()) {
    if (family.architecture == architecture) {
      if (family.spec) return &family;
      return base::unsupported(fmt::format("{}: {}", architecture, family.reason));
    }
    if (family.spec) known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  return base::unsupported(fmt::format("architecture '{}' is not supported", architecture),
                           "supported are " + known);
}

}  // namespace

std::span<const Family> families() {
  return kFamilies;
}

DecoderSpec common_decoder(ConfigReader& config, std::string_view family) {
  DecoderSpec spec;
  spec.family = family;
  spec.vocab_size = config.size("vocab_size");
  spec.hidden_size = config.size("hidden_size");
  spec.intermediate_size = config.size("intermediate_size");
  spec.num_heads = config.size("num_attention_heads");
  spec.num_kv_heads = config.size("num_key_value_heads", spec.num_heads);
  spec.head_dim = config.size("head_dim", std::max<int64_t>(1, spec.hidden_size / spec.num_heads));
  spec.max_positions = config.size("max_position_embeddings");
  spec.norm_eps = static_cast<float>(config.number("rms_norm_eps", 1e-6));
  spec.activation = config.activation("hidden_act", "silu");
  spec.tied_embeddings = config.boolean("tie_word_embeddings", false);
  spec.layers = uniform_layers(std::min<int64_t>(config.size("num_hidden_layers"), 4096),
                               config.rotary(spec.head_dim, spec.max_positions));
  return spec;
}

Result<ModelInfo> read_model(const Json& config, const Json& generation_config) {
  if (!config.is_object()) return base::invalid("config.json is not a JSON object");
  if (base::find(config, "quantization_config"))
    return base::unsupported(
        "config.json: quantized checkpoints ('quantization_config') are not supported yet");
  TKM_ASSIGN(const Family* family, find_family(config));
  ConfigReader reader(config);
  ModelInfo info;
  info.spec = family->spec(reader);
  TKM_RETURN_IF_ERROR(reader.finish());
  const Json* dtype = base::find(config, "torch_dtype");
  if (!dtype) dtype = base::find(config, "dtype");
  if (dtype && dtype->is_string()) {
    TKM_ASSIGN(info.stored_dtype, tensor::dtype_from_name(dtype->get_ref<const std::string&>()));
  }
  info.eos_ids = token_ids(generation_config, "eos_token_id");
  const bool only_config = info.eos_ids.empty();
  for (int64_t id : token_ids(config, "eos_token_id")) {
    const bool known =
        std::find(info.eos_ids.begin(), info.eos_ids.end(), id) != info.eos_ids.end();
    const bool in_vocab = id >= 0 && id < info.spec.vocab_size;
    // Beside those of generation_config.json, one that cannot come up is not worth a refusal.
    if (!known && (in_vocab || only_config)) info.eos_ids.push_back(id);
  }
  std::vector<int64_t> bos = token_ids(config, "bos_token_id");
  if (!bos.empty()) info.bos_id = bos[0];
  for (int64_t id : info.eos_ids) {
    if (id < 0 || id >= info.spec.vocab_size)
      return base::invalid(
          fmt::format("config.json: eos_token_id {} is outside the vocabulary of {}",
                      id,
                      info.spec.vocab_size));
  }
  return info;
}

Result<ModelInfo> read_model(const std::filesystem::path& folder) {
  TKM_ASSIGN(std::string text, base::read_file(folder / "config.json", 16 << 20));
  TKM_ASSIGN(Json config, base::parse_json(text, (folder / "config.json").string()));
  Json generation = Json::object();
  if (std::filesystem::exists(folder / "generation_config.json")) {
    TKM_ASSIGN(std::string more, base::read_file(folder / "generation_config.json", 16 << 20));
    TKM_ASSIGN(generation, base::parse_json(more, (folder / "generation_config.json").string()));
  }
  return read_model(config, generation);
}

}  // namespace tokamak::models
