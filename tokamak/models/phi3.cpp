// SPDX-License-Identifier: Apache-2.0
// Phi-3: Llama with fused projections, a window, and LongRoPE in the long-context models.
// arXiv:2404.14219.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 32064,
    .hidden_size = 3072,
    .intermediate_size = 8192,
    .num_layers = 32,
    .num_heads = 32,
    .max_positions = 4096,
    .norm_eps = 1e-5,
    .original_positions = 4096,
    .bos_id = 1,
    .eos_ids = {32000, -1, -1},
};

DecoderSpec phi3(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "phi3", kDefaults);
  spec.names.qkv = "model.layers.{}.self_attn.qkv_proj.weight";
  spec.names.gate_up = "model.layers.{}.mlp.gate_up_proj.weight";
  for (const char* key : {"attention_bias", "mlp_bias", "lm_head_bias"}) config.require(key, false);
  set_window(config, spec, config.size_or_off("sliding_window", {}));
  return spec;
}

}  // namespace tokamak::models
