// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/families.h"

#include <algorithm>

#include "tokamak/base/file.h"
#include "tokamak/models/rotary_config.h"

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

/// An id or a list of ids; `file` is named by errors.
Result<std::vector<int64_t>> token_ids(const Json& json,
                                       std::string_view file,
                                       std::string_view key) {
  const Json* value = base::find(json, key);
  std::vector<int64_t> out;
  if (!value) return out;
  for (const Json& element : value->is_array() ? *value : Json::array({*value})) {
    auto id = base::get_int(Json{{"id", element}}, "id");
    if (!id.ok())
      return base::invalid(fmt::format(
          "{}: '{}' must be a token id or a list of them, but is {}", file, key, value->dump()));
    out.push_back(*id);
  }
  return out;
}

/// Where no file says anything of them, not even null, they are the family's, if it can have them.
void take_usual_tokens(const Json& config, const Json& generation_config, ModelInfo& info) {
  auto is_silent = [&](const char* key) {
    return !config.contains(key) && !generation_config.contains(key);
  };
  const int64_t size = info.spec.vocab_size;
  if (is_silent("bos_token_id") && info.spec.usual_bos_id < size)
    info.bos_id = info.spec.usual_bos_id;
  if (!is_silent("eos_token_id")) return;
  info.eos_ids = info.spec.usual_eos_ids;
  std::erase_if(info.eos_ids, [size](int64_t id) { return id >= size; });
}

/// transformers goes by `model_type`, we go by `architectures`: both must mean the same family.
Result<void> check_model_type(const Json& config, const std::string& architecture) {
  const Json* value = base::find(config, "model_type");
  if (!value || !value->is_string()) return {};
  std::string_view type = value->get_ref<const std::string&>();
  if (type == "gemma3_text") type = "gemma3";
  const Family* of_type = nullptr;
  for (const Family& family : families()) {
    if (family.name != type) continue;
    if (family.architecture == architecture) return {};
    of_type = &family;
  }
  if (!of_type) return {};
  return base::invalid(
      fmt::format("config.json: 'architectures' is {}, but 'model_type' is {}, which is {}",
                  architecture,
                  type,
                  of_type->architecture),
      "the two must name the same model");
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
      TKM_RETURN_IF_ERROR(check_model_type(config, architecture));
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

std::vector<bool> sliding_layers(ConfigReader& config,
                                 size_t num_layers,
                                 const std::function<bool(size_t)>& usual) {
  std::vector<bool> out(num_layers);
  if (!config.has("layer_types")) {
    for (size_t i = 0; i < num_layers; ++i) out[i] = usual(i);
    return out;
  }
  const std::vector<std::string> types = config.strings("layer_types");
  if (types.size() != num_layers) {
    config.fail(base::invalid(
        fmt::format("'layer_types' names {} layers, but there are {}", types.size(), num_layers)));
    return out;
  }
  for (size_t i = 0; i < num_layers; ++i) {
    out[i] = types[i] == "sliding_attention";
    if (!out[i] && types[i] != "full_attention")
      config.fail(base::unsupported(fmt::format(
          "'layer_types' has '{}', known are full_attention and sliding_attention", types[i])));
  }
  return out;
}

void set_window(ConfigReader& config, DecoderSpec& spec, std::optional<int64_t> window) {
  for (LayerSpec& layer : spec.layers) layer.window = window.value_or(0);
  const std::vector<bool> sliding =
      sliding_layers(config, spec.layers.size(), [&](size_t) { return window.has_value(); });
  if (std::ranges::find(sliding, !window.has_value()) != sliding.end())
    config.fail(
        base::unsupported("'layer_types' contradicts 'sliding_window', which this family has "
                          "in all layers or in none"));
}

int64_t layer_count(ConfigReader& config,
                    std::initializer_list<std::string_view> names,
                    int64_t fallback) {
  constexpr int64_t kMost = 4096;
  const int64_t count = config.size(names, fallback);
  if (count <= kMost) return count;
  config.fail(
      base::invalid(fmt::format("'{}' = {}, must be at most {}", *names.begin(), count, kMost)));
  return 1;
}

int64_t equal_heads(ConfigReader& config, const DecoderSpec& spec) {
  if (spec.hidden_size % spec.num_heads == 0) return spec.hidden_size / spec.num_heads;
  config.fail(base::invalid(fmt::format("hidden size {} cannot be divided among {} attention heads",
                                        spec.hidden_size,
                                        spec.num_heads)));
  return 1;
}

void read_common(ConfigReader& config, DecoderSpec& spec, const ConfigDefaults& defaults) {
  spec.norm_eps = static_cast<float>(config.number(defaults.norm_eps_key, defaults.norm_eps));
  spec.activation = config.activation(defaults.activation_key, std::string(defaults.activation));
  spec.tied_embeddings = config.boolean("tie_word_embeddings", defaults.tied_embeddings);
  spec.usual_bos_id = defaults.bos_id;
  for (int64_t id : defaults.eos_ids) {
    if (id >= 0) spec.usual_eos_ids.push_back(id);
  }
}

DecoderSpec common_sizes(ConfigReader& config,
                         std::string_view family,
                         const ConfigDefaults& defaults) {
  auto or_nothing = [](int64_t size) { return size ? std::optional(size) : std::nullopt; };
  DecoderSpec spec;
  spec.family = family;
  spec.vocab_size = config.size("vocab_size", defaults.vocab_size);
  spec.hidden_size = config.size("hidden_size", defaults.hidden_size);
  spec.intermediate_size = config.size("intermediate_size", defaults.intermediate_size);
  spec.num_heads = config.size("num_attention_heads", defaults.num_heads);
  spec.num_kv_heads = config.size_or_off("num_key_value_heads", or_nothing(defaults.num_kv_heads))
                          .value_or(spec.num_heads);
  const auto head_dim = config.size_or_off("head_dim", or_nothing(defaults.head_dim));
  spec.head_dim = head_dim ? *head_dim : equal_heads(config, spec);
  spec.max_positions = config.size("max_position_embeddings", defaults.max_positions);
  spec.layers = uniform_layers(layer_count(config, {"num_hidden_layers"}, defaults.num_layers), {});
  read_common(config, spec, defaults);
  return spec;
}

DecoderSpec common_decoder(ConfigReader& config,
                           std::string_view family,
                           const ConfigDefaults& defaults) {
  DecoderSpec spec = common_sizes(config, family, defaults);
  Rotary rotary = read_rotary(config,
                              {.head_dim = spec.head_dim,
                               .max_positions = spec.max_positions,
                               .theta = defaults.rope_theta,
                               .partial = defaults.partial_rotary_factor,
                               .original_positions = defaults.original_positions,
                               .yarn_is_longrope = family == "phi3"});
  spec.max_positions = rotary.max_positions;
  for (LayerSpec& layer : spec.layers) layer.rotary = rotary.settings;
  return spec;
}

Result<ModelInfo> read_model(const Json& config, const Json& generation_config) {
  if (!config.is_object()) return base::invalid("config.json is not a JSON object");
  if (const Json* found = base::find(config, "quantization_config"); found && !found->empty())
    return base::unsupported(
        "config.json: quantized checkpoints ('quantization_config') are not supported yet");
  TKM_ASSIGN(const Family* family, find_family(config));
  ConfigReader reader(config);
  ModelInfo info;
  info.spec = family->spec(reader);
  TKM_RETURN_IF_ERROR(reader.finish());
  const Json* dtype = base::find(config, "dtype");
  if (!dtype) dtype = base::find(config, "torch_dtype");
  if (dtype && dtype->is_string()) {
    TKM_ASSIGN(info.stored_dtype, tensor::dtype_from_name(dtype->get_ref<const std::string&>()));
  }
  constexpr std::string_view kConfig = "config.json", kGeneration = "generation_config.json";
  TKM_ASSIGN(info.eos_ids, token_ids(generation_config, kGeneration, "eos_token_id"));
  const bool only_config = info.eos_ids.empty();
  TKM_ASSIGN(const std::vector<int64_t> of_config, token_ids(config, kConfig, "eos_token_id"));
  for (int64_t id : of_config) {
    const bool known =
        std::find(info.eos_ids.begin(), info.eos_ids.end(), id) != info.eos_ids.end();
    const bool in_vocab = id >= 0 && id < info.spec.vocab_size;
    // Beside those of generation_config.json, one that cannot come up is not worth a refusal.
    if (!known && (in_vocab || only_config)) info.eos_ids.push_back(id);
  }
  TKM_ASSIGN(const std::vector<int64_t> bos, token_ids(config, kConfig, "bos_token_id"));
  if (!bos.empty()) info.bos_id = bos[0];
  take_usual_tokens(config, generation_config, info);
  for (int64_t id : info.eos_ids) {
    if (id < 0 || id >= info.spec.vocab_size)
      return base::invalid(fmt::format("{}: eos_token_id {} is outside the vocabulary of {}",
                                       only_config ? kConfig : kGeneration,
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
