// SPDX-License-Identifier: Apache-2.0
// Baichuan 2, 7B: Llama with fused projections (W_pack) and a head whose rows are normalized.
// arXiv:2309.10305.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 125696,
    .hidden_size = 4096,
    .intermediate_size = 11008,
    .num_layers = 32,
    .num_heads = 32,
    .max_positions = 4096,
    .bos_id = 1,
    .eos_ids = {2, -1, -1},
};

DecoderSpec baichuan(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "baichuan", kDefaults);
  spec.names.qkv = "model.layers.{}.self_attn.W_pack.weight";
  // The first Baichuan, which has a plain head, is told by its vocabulary of 64000.
  spec.normalized_head = spec.vocab_size != 64000;
  config.require("alibi", false);
  // The 13B models have no rotary positions (ALiBi) and do not say so in their config; they are
  // told by their size.
  if (spec.hidden_size == 5120)
    config.fail(base::unsupported("Baichuan 13B uses ALiBi positions, which are not supported"));
  return spec;
}

}  // namespace tokamak::models
