// SPDX-License-Identifier: Apache-2.0
// GPT-2: learned positions, layer norms, fused projections stored transposed. Radford et al., 2019.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 50257,
    .hidden_size = 768,
    .intermediate_size = 0,
    .num_layers = 12,
    .num_heads = 12,
    .max_positions = 1024,
    .norm_eps_key = "layer_norm_epsilon",
    .norm_eps = 1e-5,
    .activation_key = "activation_function",
    .activation = "gelu_new",
    .tied_embeddings = true,
    .bos_id = 50256,
    .eos_ids = {50256, -1, -1},
};

DecoderSpec gpt2(ConfigReader& config) {
  DecoderSpec spec;
  spec.family = "gpt2";
  spec.vocab_size = config.size("vocab_size", kDefaults.vocab_size);
  spec.hidden_size = config.size({"n_embd", "hidden_size"}, kDefaults.hidden_size);
  spec.intermediate_size = config.size("n_inner", 4 * spec.hidden_size);
  spec.num_heads = spec.num_kv_heads =
      config.size({"n_head", "num_attention_heads"}, kDefaults.num_heads);
  spec.head_dim = equal_heads(config, spec);
  spec.max_positions =
      config.size({"n_positions", "max_position_embeddings"}, kDefaults.max_positions);
  spec.layers = uniform_layers(
      layer_count(config, {"n_layer", "num_hidden_layers"}, kDefaults.num_layers), {});
  read_common(config, spec, kDefaults);
  spec.norm = NormKind::kLayer;
  spec.norm_bias = true;
  spec.qkv_bias = spec.o_bias = spec.mlp_bias = true;
  spec.gated_mlp = false;
  spec.transposed_linear = true;
  spec.names = {.embedding = "transformer.wte.weight",
                .position_embedding = "transformer.wpe.weight",
                .norm_before_attention = "transformer.h.{}.ln_1.weight",
                .norm_before_mlp = "transformer.h.{}.ln_2.weight",
                .qkv = "transformer.h.{}.attn.c_attn.weight",
                .o = "transformer.h.{}.attn.c_proj.weight",
                .up = "transformer.h.{}.mlp.c_fc.weight",
                .down = "transformer.h.{}.mlp.c_proj.weight",
                .final_norm = "transformer.ln_f.weight"};
  config.require("scale_attn_weights", true);
  config.require("scale_attn_by_inverse_layer_idx", false);
  config.require("add_cross_attention", false);
  for (const char* key : {"n_ctx",
                          "n_special",
                          "predict_special_tokens",
                          "summary_type",
                          "summary_use_proj",
                          "summary_activation",
                          "summary_proj_to_labels",
                          "summary_first_dropout"})
    config.ignore(key);
  return spec;
}

}  // namespace tokamak::models
