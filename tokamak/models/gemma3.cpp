// SPDX-License-Identifier: Apache-2.0
// Gemma 3, text: Gemma 2 with normalized heads instead of capped scores, five windowed layers to a
// full one, and rotary settings of their own for the windowed layers. arXiv:2503.19786.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec gemma3(ConfigReader& config) {
  DecoderSpec spec = gemma_decoder(config, "gemma3_text");
  spec.qk_norm = QkNorm::kPerHead;
  std::vector<std::string> types = config.strings("layer_types");
  int64_t window = config.size("sliding_window", 4096);
  size_t pattern = static_cast<size_t>(config.size(
      config.has("_sliding_window_pattern") ? "_sliding_window_pattern" : "sliding_window_pattern",
      6));
  config.ignore("sliding_window_pattern");
  op::RotarySettings full = config.rotary(spec.head_dim, spec.max_positions, "full_attention", 1e6);
  op::RotarySettings local;
  if (config.has("rope_parameters")) {
    local = config.rotary(spec.head_dim, spec.max_positions, "sliding_attention", 1e4);
  } else {
    local.rotary_dim = full.rotary_dim;
    local.theta = static_cast<float>(config.number("rope_local_base_freq", 1e4));
  }
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    bool sliding = types.empty() ? (i + 1) % pattern != 0
                                 : types.at(std::min(i, types.size() - 1)) == "sliding_attention";
    spec.layers[i] = {sliding ? local : full, sliding ? window : 0};
  }
  return spec;
}

}  // namespace tokamak::models
