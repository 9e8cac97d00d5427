// SPDX-License-Identifier: Apache-2.0
// Baichuan 2, 7B: Llama with fused projections (W_pack) and a head whose rows are normalized.
// arXiv:2309.10305.
#include "tokamak/models/families.h"

namespace tokamak::models {

DecoderSpec baichuan(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "baichuan");
  spec.names.qkv = "model.layers.{}.self_attn.W_pack.weight";
  // The first Baichuan, which has a plain head, is told by its vocabulary of 64000.
  spec.normalized_head = spec.vocab_size != 64000;
  config.ignore("model_max_length");
  config.ignore("z_loss_weight");
  config.require("alibi", false);
  // The 13B models have no rotary positions (ALiBi) and do not say so in their config; they are
  // told by their size.
  if (spec.hidden_size == 5120)
    config.fail(base::unsupported("Baichuan 13B uses ALiBi positions, which are not supported"));
  return spec;
}

}  // namespace tokamak::models
