// SPDX-License-Identifier: Apache-2.0
// Llama 2, 3 and their many relatives: pre-norm blocks of attention with rotary positions and a
// gated MLP.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec llama(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "llama");
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  spec.mlp_bias = config.boolean("mlp_bias", false);
  return spec;
}

}  // namespace tokamak::models
