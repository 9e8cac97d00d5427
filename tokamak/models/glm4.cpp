// SPDX-License-Identifier: Apache-2.0
// GLM-4: norms before and after each half of a block, half of each head rotated in interleaved
// pairs, fused gate and up. arXiv:2406.12793.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 151552,
    .hidden_size = 4096,
    .intermediate_size = 13696,
    .num_layers = 40,
    .num_heads = 32,
    .num_kv_heads = 2,
    .head_dim = 128,
    .max_positions = 131072,
    .norm_eps = 1.5625e-7,
    .partial_rotary_factor = 0.5,
    .eos_ids = {151329, 151336, 151338},
};

DecoderSpec glm4(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "glm4", kDefaults);
  spec.qkv_bias = config.boolean("attention_bias", true);
  spec.names.norm_after_attention = "model.layers.{}.post_self_attn_layernorm.weight";
  spec.names.norm_after_mlp = "model.layers.{}.post_mlp_layernorm.weight";
  spec.names.gate_up = "model.layers.{}.mlp.gate_up_proj.weight";
  for (LayerSpec& layer : spec.layers) layer.rotary.interleaved = true;
  return spec;
}

}  // namespace tokamak::models
