// SPDX-License-Identifier: Apache-2.0
// Phi-3: Llama with fused projections, a window, and LongRoPE in the long-context models.
// arXiv:2404.14219.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec phi3(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "phi3");
  spec.names.qkv = "model.layers.{}.self_attn.qkv_proj.weight";
  spec.names.gate_up = "model.layers.{}.mlp.gate_up_proj.weight";
  config.ignore("original_max_position_embeddings");
  config.require("attention_bias", false);
  if (config.has("sliding_window")) {
    for (LayerSpec& layer : spec.layers) layer.window = config.size("sliding_window");
  }
  return spec;
}

}  // namespace tokamak::models
