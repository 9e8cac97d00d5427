// SPDX-License-Identifier: Apache-2.0
// Mistral: Llama with a sliding window, where the config gives one. Jiang et al., arXiv:2310.06825.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec mistral(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "mistral");
  if (config.has("sliding_window")) {
    for (LayerSpec& layer : spec.layers) layer.window = config.size("sliding_window");
  }
  return spec;
}

}  // namespace tokamak::models
