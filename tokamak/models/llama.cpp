// SPDX-License-Identifier: Apache-2.0
// Llama 2, 3 and their many relatives: pre-norm blocks of attention with rotary positions and a
// gated MLP.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 32000,
    .hidden_size = 4096,
    .intermediate_size = 11008,
    .num_layers = 32,
    .num_heads = 32,
    .max_positions = 2048,
    .bos_id = 1,
    .eos_ids = {2, -1, -1},
};

DecoderSpec llama(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "llama", kDefaults);
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  spec.mlp_bias = config.boolean("mlp_bias", false);
  return spec;
}

}  // namespace tokamak::models
