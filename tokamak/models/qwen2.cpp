// SPDX-License-Identifier: Apache-2.0
// Qwen 2 and 2.5: Llama with biases on the projections of q, k and v, and windows on the later
// layers if asked for. arXiv:2407.10671.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 151936,
    .hidden_size = 4096,
    .intermediate_size = 22016,
    .num_layers = 32,
    .num_heads = 32,
    .num_kv_heads = 32,
    .max_positions = 32768,
};

DecoderSpec qwen2(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "qwen2", kDefaults);
  spec.qkv_bias = true;
  for (const char* key : {"attention_bias", "qkv_bias"}) config.require(key, true);
  qwen_windows(config, spec);
  return spec;
}

void qwen_windows(ConfigReader& config, DecoderSpec& spec) {
  const bool windows = config.boolean("use_sliding_window", false);
  const std::optional<int64_t> window = config.size_or_off("sliding_window", 4096);
  const double first = config.number("max_window_layers", 28);
  std::vector<bool> sliding =
      sliding_layers(config, spec.layers.size(), [&](size_t i) { return i >= first; });
  for (size_t i = 0; i < spec.layers.size() && windows && window; ++i)
    spec.layers[i].window = sliding[i] ? *window : 0;
}

}  // namespace tokamak::models
