// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/config_reader.h"

#include <algorithm>
#include <cmath>

namespace tokamak::models {
namespace {

/// Keys of config.json that say nothing about the numbers of inference.
constexpr std::string_view kHarmless[] = {"_from_model_config",
                                          "_attn_implementation",
                                          "_name_or_path",
                                          "architectures",
                                          "attention_dropout",
                                          "auto_map",
                                          "bos_token_id",
                                          "cache_implementation",
                                          "classifier_dropout",
                                          "dtype",
                                          "embd_pdrop",
                                          "eos_token_id",
                                          "id2label",
                                          "initializer_range",
                                          "label2id",
                                          "max_window_layers",
                                          "max_length",
                                          "min_length",
                                          "do_sample",
                                          "temperature",
                                          "top_k",
                                          "top_p",
                                          "num_beams",
                                          "repetition_penalty",
                                          "length_penalty",
                                          "model_type",
                                          "output_attentions",
                                          "output_hidden_states",
                                          "pad_token_id",
                                          "pretraining_tp",
                                          "resid_pdrop",
                                          "hidden_dropout",
                                          "residual_dropout",
                                          "embedding_dropout",
                                          "attn_pdrop",
                                          "return_dict",
                                          "task_specific_params",
                                          "tokenizer_class",
                                          "torch_dtype",
                                          "transformers_version",
                                          "unsloth_version",
                                          "unsloth_fixed",
                                          "use_cache",
                                          "use_return_dict",
                                          "vocab_size",
                                          "num_labels",
                                          "problem_type",
                                          "finetuning_task",
                                          "is_decoder",
                                          "is_encoder_decoder",
                                          "torchscript",
                                          "chunk_size_feed_forward"};

Error prefixed(const Error& error) {
  return {error.code, "config.json: " + error.message, error.hint};
}

}  // namespace

const Json* ConfigReader::find(std::string_view key) {
  read_.emplace(key);
  return base::find(config_, key);
}

bool ConfigReader::has(std::string_view key) {
  return find(key) != nullptr;
}

void ConfigReader::fail(Error error) {
  if (!error_) error_ = prefixed(error);
}

int64_t ConfigReader::size(std::string_view key, std::optional<int64_t> fallback) {
  read_.emplace(key);
  auto value = base::get_int(config_, key, fallback);
  if (!value.ok()) {
    fail(value.error());
    return fallback.value_or(1);
  }
  if (*value < 1 || *value >= (int64_t{1} << 31)) {
    fail(base::invalid(fmt::format("'{}' = {}, must be between 1 and 2^31 - 1", key, *value)));
    return 1;
  }
  return *value;
}

double ConfigReader::number(std::string_view key, std::optional<double> fallback) {
  read_.emplace(key);
  auto value = base::get_number(config_, key, fallback);
  if (!value.ok()) fail(value.error());
  return value.ok() ? *value : fallback.value_or(1.0);
}

bool ConfigReader::boolean(std::string_view key, std::optional<bool> fallback) {
  read_.emplace(key);
  auto value = base::get_bool(config_, key, fallback);
  if (!value.ok()) fail(value.error());
  return value.ok() ? *value : fallback.value_or(false);
}

std::string ConfigReader::string(std::string_view key, std::optional<std::string> fallback) {
  read_.emplace(key);
  auto value = base::get_string(config_, key, fallback);
  if (!value.ok()) fail(value.error());
  return value.ok() ? *value : fallback.value_or("");
}

std::vector<std::string> ConfigReader::strings(std::string_view key) {
  std::vector<std::string> out;
  const Json* list = find(key);
  if (!list) return out;
  for (const Json& element : list->is_array() ? *list : Json::array()) {
    if (element.is_string()) out.push_back(element.get<std::string>());
  }
  if (!list->is_array() || out.size() != list->size())
    fail(base::invalid(fmt::format("'{}' must be a list of strings", key)));
  return out;
}

void ConfigReader::ignore(std::string_view key) {
  read_.emplace(key);
}

void ConfigReader::require(std::string_view key, const Json& value) {
  const Json* found = find(key);
  if (found && *found != value) {
    fail(base::unsupported(fmt::format(
        "'{}' = {}; this family is supported with {} only", key, found->dump(), value.dump())));
  }
}

op::ActivationKind ConfigReader::activation(std::string_view key,
                                            std::optional<std::string> fallback) {
  std::string name = string(key, std::move(fallback));
  if (error_) return op::ActivationKind::kNone;
  if (name == "silu" || name == "swish") return op::ActivationKind::kSilu;
  if (name == "gelu") return op::ActivationKind::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return op::ActivationKind::kGeluTanh;
  if (name == "relu") return op::ActivationKind::kRelu;
  fail(base::unsupported(fmt::format(
      "'{}' = '{}' is not one of silu, gelu, gelu_new, gelu_pytorch_tanh, relu", key, name)));
  return op::ActivationKind::kNone;
}

op::RotarySettings ConfigReader::rotary(int64_t head_dim,
                                        int64_t max_positions,
                                        std::string_view layer_type,
                                        double default_theta) {
  op::RotarySettings settings;
  settings.theta = static_cast<float>(default_theta);
  double partial = number("partial_rotary_factor", 1.0);
  const Json* parameters = find("rope_parameters");
  if (parameters && !layer_type.empty()) {
    if (const Json* nested = base::find(*parameters, layer_type)) parameters = nested;
  }
  if (parameters) {
    if (auto value = base::get_number(*parameters, "partial_rotary_factor", partial); value.ok())
      partial = *value;
    if (auto theta = base::get_number(*parameters, "rope_theta", default_theta); theta.ok())
      settings.theta = static_cast<float>(*theta);
    else
      fail(theta.error());
  } else {
    settings.theta = static_cast<float>(number("rope_theta", default_theta));
  }
  ignore("rope_theta");
  settings.rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * partial) / 2 * 2;
  const Json* scaling = find("rope_scaling");
  if (!parameters) parameters = scaling;
  return parameters ? rotary_from(*parameters, settings, head_dim, max_positions) : settings;
}

op::RotarySettings ConfigReader::rotary_from(const Json& json,
                                             op::RotarySettings s,
                                             int64_t head_dim,
                                             int64_t max_positions) {
  auto get = [&](std::string_view key, std::optional<double> fallback) {
    auto value = base::get_number(json, key, fallback);
    if (!value.ok()) fail(value.error());
    return static_cast<float>(value.ok() ? *value : fallback.value_or(1.0));
  };
  const Json* type = base::find(json, "rope_type");
  if (!type) type = base::find(json, "type");
  std::string name = type && type->is_string() ? type->get<std::string>() : "default";
  int64_t original =
      static_cast<int64_t>(get("original_max_position_embeddings",
                               static_cast<double>(has("original_max_position_embeddings")
                                                       ? size("original_max_position_embeddings")
                                                       : max_positions)));
  if (name == "default" || name == "none") return s;
  if (name == "linear") {
    s.scaling = op::RopeScaling::kLinear;
    s.factor = get("factor", {});
  } else if (name == "llama3") {
    s.scaling = op::RopeScaling::kLlama3;
    s.factor = get("factor", {});
    s.low_freq_factor = get("low_freq_factor", {});
    s.high_freq_factor = get("high_freq_factor", {});
    s.original_max_positions = original;
  } else if (name == "yarn") {
    s.scaling = op::RopeScaling::kYarn;
    s.factor = get("factor", {});
    s.beta_fast = get("beta_fast", 32.0);
    s.beta_slow = get("beta_slow", 1.0);
    if (const Json* truncate = base::find(json, "truncate"); truncate && truncate->is_boolean())
      s.truncate = truncate->get<bool>();
    s.original_max_positions = original;
    s.attention_factor =
        get("attention_factor", 0.1 * std::log(std::max(1.0, static_cast<double>(s.factor))) + 1.0);
    if (base::find(json, "mscale") || base::find(json, "mscale_all_dim"))
      fail(base::unsupported("yarn with mscale is not supported for this family"));
  } else if (name == "longrope" || name == "su") {
    // Which list applies is a matter of the context that the model is to serve: the long one,
    // unless the model's whole context is short.
    s.scaling = op::RopeScaling::kLongRope;
    bool is_long = max_positions > original;
    auto factors = base::get_numbers(json, is_long ? "long_factor" : "short_factor");
    if (!factors.ok())
      fail(factors.error());
    else
      s.factors.assign(factors->begin(), factors->end());
    double factor = static_cast<double>(max_positions) / static_cast<double>(original);
    double attention =
        factor <= 1.0 ? 1.0
                      : std::sqrt(1.0 + std::log(factor) / std::log(static_cast<double>(original)));
    s.attention_factor = get("attention_factor", attention);
    s.original_max_positions = original;
  } else {
    fail(base::unsupported(fmt::format(
        "rotary scaling '{}' is not one of default, linear, llama3, yarn, longrope", name)));
    return s;
  }
  if (auto checked = op::check_rotary("config.json rope", s, head_dim); !checked.ok())
    fail(checked.error());
  return s;
}

Result<void> ConfigReader::finish() {
  if (error_) return *error_;
  for (const auto& [key, value] : config_.items()) {
    if (read_.contains(key) ||
        std::find(std::begin(kHarmless), std::end(kHarmless), key) != std::end(kHarmless))
      continue;
    if (value.is_null() || value == Json(false)) continue;  // A feature that is off.
    return base::unsupported(
        fmt::format(
            "config.json: '{}' = {} is not known for this family and could change the results",
            key,
            value.dump().substr(0, 80)),
        "if the key is harmless, remove it from config.json");
  }
  return {};
}

}  // namespace tokamak::models
