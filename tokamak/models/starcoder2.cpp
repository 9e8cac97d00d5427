// SPDX-License-Identifier: Apache-2.0
// StarCoder 2: layer norms and a plain MLP, all with biases, on rotary grouped attention.
// arXiv:2402.19173.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 49152,
    .hidden_size = 3072,
    .intermediate_size = 12288,
    .num_layers = 30,
    .num_heads = 24,
    .num_kv_heads = 2,
    .max_positions = 4096,
    .norm_eps_key = "norm_epsilon",
    .norm_eps = 1e-5,
    .activation = "gelu_pytorch_tanh",
    .tied_embeddings = true,
    .bos_id = 50256,
    .eos_ids = {50256, -1, -1},
};

DecoderSpec starcoder2(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "starcoder2", kDefaults);
  spec.norm = NormKind::kLayer;
  spec.norm_bias = true;
  spec.qkv_bias = spec.o_bias = spec.mlp_bias = config.boolean("use_bias", true);
  spec.gated_mlp = false;
  spec.names.up = "model.layers.{}.mlp.c_fc.weight";
  spec.names.down = "model.layers.{}.mlp.c_proj.weight";
  set_window(config, spec, config.size_or_off("sliding_window", {}));
  // Written by the program that trained it; the ones that count are read above.
  config.require("norm_type", "layer_norm");
  config.require("mlp_type", "default");
  config.require("scale_attn_weights", true);
  for (const char* key : {"activation_function", "layer_norm_epsilon"}) config.ignore(key);
  return spec;
}

}  // namespace tokamak::models
