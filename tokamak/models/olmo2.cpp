// SPDX-License-Identifier: Apache-2.0
// OLMo 2: norms after attention and MLP instead of before, and over the whole rows of q and k.
// arXiv:2501.00656.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 50304,
    .hidden_size = 4096,
    .intermediate_size = 11008,
    .num_layers = 32,
    .num_heads = 32,
    .max_positions = 2048,
    .norm_eps = 1e-5,
    .eos_ids = {50279, -1, -1},
};

DecoderSpec olmo2(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "olmo2", kDefaults);
  spec.names.norm_before_attention.clear();
  spec.names.norm_before_mlp.clear();
  spec.names.norm_after_attention = "model.layers.{}.post_attention_layernorm.weight";
  spec.names.norm_after_mlp = "model.layers.{}.post_feedforward_layernorm.weight";
  spec.qk_norm = QkNorm::kRow;
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  return spec;
}

}  // namespace tokamak::models
