// SPDX-License-Identifier: Apache-2.0
// Mistral: Llama with a sliding window, unless the config has it null. Jiang et al.,
// arXiv:2310.06825.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 32000,
    .hidden_size = 4096,
    .intermediate_size = 14336,
    .num_layers = 32,
    .num_heads = 32,
    .num_kv_heads = 8,
    .max_positions = 131072,
    .bos_id = 1,
    .eos_ids = {2, -1, -1},
};

DecoderSpec mistral(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "mistral", kDefaults);
  set_window(config, spec, config.size_or_off("sliding_window", 4096));
  return spec;
}

}  // namespace tokamak::models
