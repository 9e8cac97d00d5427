// SPDX-License-Identifier: Apache-2.0
// Qwen 2 and 2.5: Llama with biases on the projections of q, k and v, and windows on the later
// layers if asked for. arXiv:2407.10671.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec qwen2(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "qwen2");
  spec.qkv_bias = true;
  qwen_windows(config, spec);
  return spec;
}

void qwen_windows(ConfigReader& config, DecoderSpec& spec) {
  bool windows = config.boolean("use_sliding_window", false) && config.has("sliding_window");
  int64_t first = config.has("max_window_layers")
                      ? static_cast<int64_t>(config.number("max_window_layers"))
                      : 0;
  config.ignore("sliding_window");
  std::vector<std::string> types = config.strings("layer_types");
  for (size_t i = 0; i < spec.layers.size() && windows; ++i) {
    bool sliding = types.empty() ? static_cast<int64_t>(i) >= first
                                 : types.at(std::min(i, types.size() - 1)) == "sliding_attention";
    if (sliding) spec.layers[i].window = config.size("sliding_window");
  }
}

}  // namespace tokamak::models
