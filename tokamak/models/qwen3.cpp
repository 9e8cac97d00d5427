// SPDX-License-Identifier: Apache-2.0
// Qwen 3, dense: Llama with an RMS norm on each head of q and k. arXiv:2505.09388.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec qwen3(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "qwen3");
  spec.qk_norm = QkNorm::kPerHead;
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  qwen_windows(config, spec);
  return spec;
}

}  // namespace tokamak::models
