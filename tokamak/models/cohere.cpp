// SPDX-License-Identifier: Apache-2.0
// Cohere Command R: attention and MLP side by side after one layer norm without bias, interleaved
// rotary pairs, scaled logits.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 256000,
    .hidden_size = 8192,
    .intermediate_size = 22528,
    .num_layers = 40,
    .num_heads = 64,
    .max_positions = 8192,
    .norm_eps_key = "layer_norm_eps",
    .norm_eps = 1e-5,
    .tied_embeddings = true,
    .rope_theta = 500000.0,
    .bos_id = 5,
    .eos_ids = {255001, -1, -1},
};

DecoderSpec cohere(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "cohere", kDefaults);
  spec.norm = NormKind::kLayer;
  spec.parallel_mlp = true;
  spec.names.norm_before_mlp.clear();
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  spec.logits_scale = static_cast<float>(config.number("logit_scale", 0.0625));
  config.require("use_qk_norm", false);
  // Command R is made for more positions than max_position_embeddings says.
  spec.max_positions = config.size("model_max_length", spec.max_positions);
  for (LayerSpec& layer : spec.layers) layer.rotary.interleaved = true;
  return spec;
}

}  // namespace tokamak::models
