// SPDX-License-Identifier: Apache-2.0
// GPT-2: learned positions, layer norms, fused projections stored transposed. Radford et al., 2019.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec gpt2(ConfigReader& config) {
  DecoderSpec spec;
  spec.family = "gpt2";
  spec.vocab_size = config.size("vocab_size");
  spec.hidden_size = config.size("n_embd");
  spec.intermediate_size = config.size("n_inner", 4 * spec.hidden_size);
  spec.num_heads = spec.num_kv_heads = config.size("n_head");
  spec.head_dim = std::max<int64_t>(1, spec.hidden_size / spec.num_heads);
  spec.max_positions = config.size("n_positions");
  spec.layers = uniform_layers(std::min<int64_t>(config.size("n_layer"), 4096), {});
  spec.activation = config.activation("activation_function", "gelu_new");
  spec.tied_embeddings = config.boolean("tie_word_embeddings", true);
  spec.norm = NormKind::kLayer;
  spec.norm_bias = true;
  spec.norm_eps = static_cast<float>(config.number("layer_norm_epsilon", 1e-5));
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
                          "reorder_and_upcast_attn",
                          "summary_type",
                          "summary_use_proj",
                          "summary_activation",
                          "summary_proj_to_labels",
                          "summary_first_dropout"})
    config.ignore(key);
  return spec;
}

}  // namespace tokamak::models
