// SPDX-License-Identifier: Apache-2.0
// Gemma 2: norms before and after each half of a block, windows on every other layer, capped scores
// and logits. arXiv:2408.00118.
#include <cmath>

#include "tokamak/models/families.h"
#include "tokamak/models/rotary_config.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 256000,
    .hidden_size = 2304,
    .intermediate_size = 9216,
    .num_layers = 26,
    .num_heads = 8,
    .num_kv_heads = 4,
    .head_dim = 256,
    .max_positions = 8192,
    .activation_key = "hidden_activation",
    .activation = "gelu_pytorch_tanh",
    .tied_embeddings = true,
    .bos_id = 2,
    .eos_ids = {1, -1, -1},
};

DecoderSpec gemma_decoder(ConfigReader& config,
                          std::string_view family,
                          const ConfigDefaults& defaults) {
  DecoderSpec spec = common_sizes(config, family, defaults);
  spec.norm_unit_offset = true;
  spec.names.norm_after_attention = "model.layers.{}.post_attention_layernorm.weight";
  spec.names.norm_before_mlp = "model.layers.{}.pre_feedforward_layernorm.weight";
  spec.names.norm_after_mlp = "model.layers.{}.post_feedforward_layernorm.weight";
  config.ignore("hidden_act");  // Of the first Gemma; hidden_activation counts.
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  const double scalar = config.number("query_pre_attn_scalar", 256);
  if (!(scalar > 0))
    config.fail(
        base::invalid(fmt::format("'query_pre_attn_scalar' is {}, must be above 0", scalar)));
  spec.attention_scale = static_cast<float>(1.0 / std::sqrt(scalar));
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  config.require("use_bidirectional_attention", false);
  config.ignore("sliding_window_size");
  return spec;
}

DecoderSpec gemma2(ConfigReader& config) {
  DecoderSpec spec = gemma_decoder(config, "gemma2", kDefaults);
  Rotary rotary =
      read_rotary(config, {.head_dim = spec.head_dim, .max_positions = spec.max_positions});
  spec.max_positions = rotary.max_positions;
  spec.attention_softcap = static_cast<float>(config.number_or_off("attn_logit_softcapping", 50.0));
  spec.logits_softcap = static_cast<float>(config.number_or_off("final_logit_softcapping", 30.0));
  int64_t window = config.size_or_off("sliding_window", 4096).value_or(0);
  std::vector<bool> sliding =
      sliding_layers(config, spec.layers.size(), [](size_t i) { return i % 2 == 0; });
  for (size_t i = 0; i < spec.layers.size(); ++i)
    spec.layers[i] = {rotary.settings, sliding[i] ? window : 0};
  return spec;
}

}  // namespace tokamak::models
