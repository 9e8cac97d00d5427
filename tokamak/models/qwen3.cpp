// SPDX-License-Identifier: Apache-2.0
// Qwen 3, dense: Llama with an RMS norm on each head of q and k. arXiv:2505.09388.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 151936,
    .hidden_size = 4096,
    .intermediate_size = 22016,
    .num_layers = 32,
    .num_heads = 32,
    .num_kv_heads = 32,
    .head_dim = 128,
    .max_positions = 32768,
};

DecoderSpec qwen3(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "qwen3", kDefaults);
  spec.qk_norm = QkNorm::kPerHead;
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  qwen_windows(config, spec);
  return spec;
}

}  // namespace tokamak::models
