// SPDX-License-Identifier: Apache-2.0
// StarCoder 2: layer norms and a plain MLP, all with biases, on rotary grouped attention.
// arXiv:2402.19173.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec starcoder2(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "starcoder2");
  spec.tied_embeddings = config.boolean("tie_word_embeddings", true);
  spec.activation = config.activation("hidden_act", "gelu_pytorch_tanh");
  spec.norm = NormKind::kLayer;
  spec.norm_bias = true;
  spec.norm_eps = static_cast<float>(config.number("norm_epsilon", 1e-5));
  spec.qkv_bias = spec.o_bias = spec.mlp_bias = config.boolean("use_bias", true);
  spec.gated_mlp = false;
  spec.names.up = "model.layers.{}.mlp.c_fc.weight";
  spec.names.down = "model.layers.{}.mlp.c_proj.weight";
  if (config.has("sliding_window")) {
    for (LayerSpec& layer : spec.layers) layer.window = config.size("sliding_window");
  }
  return spec;
}

}  // namespace tokamak::models
