// SPDX-License-Identifier: Apache-2.0
// Granite: Llama with factors on embeddings, residuals, scores and logits. IBM Granite 3.0 language
// models, 2024.
#include "tokamak/models/families.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 32000,
    .hidden_size = 4096,
    .intermediate_size = 11008,
    .num_layers = 32,
    .num_heads = 32,
    .max_positions = 2048,
    .bos_id = 1,
    .eos_ids = {2, -1, -1},
};

DecoderSpec granite(ConfigReader& config) {
  DecoderSpec spec = common_decoder(config, "granite", kDefaults);
  spec.qkv_bias = spec.o_bias = config.boolean("attention_bias", false);
  spec.mlp_bias = config.boolean("mlp_bias", false);
  spec.embedding_scale = static_cast<float>(config.number("embedding_multiplier", 1.0));
  spec.residual_scale = static_cast<float>(config.number("residual_multiplier", 1.0));
  spec.attention_scale = static_cast<float>(config.number("attention_multiplier", 1.0));
  double divisor = config.number("logits_scaling", 1.0);
  if (!(divisor > 0))
    config.fail(base::invalid(fmt::format("'logits_scaling' = {}, must be positive", divisor)));
  spec.logits_scale = static_cast<float>(1.0 / divisor);
  return spec;
}

}  // namespace tokamak::models
