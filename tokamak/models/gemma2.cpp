// SPDX-License-Identifier: Apache-2.0
// Gemma 2: norms before and after each half of a block, windows on every other layer, capped scores
// and logits. arXiv:2408.00118.
#include <cmath>

#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec gemma_decoder(ConfigReader& config, std::string_view family) {
  DecoderSpec spec = common_decoder(config, family);
  spec.tied_embeddings = config.boolean("tie_word_embeddings", true);
  spec.norm_unit_offset = true;
  spec.names.norm_after_attention = "model.layers.{}.post_attention_layernorm.weight";
  spec.names.norm_before_mlp = "model.layers.{}.pre_feedforward_layernorm.weight";
  spec.names.norm_after_mlp = "model.layers.{}.post_feedforward_layernorm.weight";
  spec.activation = config.activation("hidden_activation", "gelu_pytorch_tanh");
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  spec.attention_scale =
      static_cast<float>(1.0 / std::sqrt(config.number("query_pre_attn_scalar", 256)));
  spec.attention_softcap = static_cast<float>(config.number("attn_logit_softcapping", 0.0));
  spec.logits_softcap = static_cast<float>(config.number("final_logit_softcapping", 0.0));
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  config.require("use_bidirectional_attention", false);
  config.ignore("sliding_window_size");
  return spec;
}

DecoderSpec gemma2(ConfigReader& config) {
  DecoderSpec spec = gemma_decoder(config, "gemma2");
  std::vector<std::string> types = config.strings("layer_types");
  int64_t window = config.size("sliding_window", 4096);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    bool sliding =
        types.empty() ? i % 2 == 0 : types.at(std::min(i, types.size() - 1)) == "sliding_attention";
    spec.layers[i].window = sliding ? window : 0;
  }
  return spec;
}

}  // namespace tokamak::models
