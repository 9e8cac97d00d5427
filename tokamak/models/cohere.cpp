// SPDX-License-Identifier: Apache-2.0
// Cohere Command R: attention and MLP side by side after one layer norm without bias, interleaved
// rotary pairs, scaled logits.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec cohere(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "cohere");
  spec.tied_embeddings = config.boolean("tie_word_embeddings", true);
  spec.norm = NormKind::kLayer;
  spec.norm_eps = static_cast<float>(config.number("layer_norm_eps", 1e-5));
  spec.parallel_mlp = true;
  spec.names.norm_before_mlp.clear();
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  spec.logits_scale = static_cast<float>(config.number("logit_scale", 0.0625));
  config.require("use_qk_norm", false);
  for (LayerSpec& layer : spec.layers) layer.rotary.interleaved = true;
  return spec;
}

}  // namespace tokamak::models
