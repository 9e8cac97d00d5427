// SPDX-License-Identifier: Apache-2.0
// Gemma 3, text: Gemma 2 with normalized heads instead of capped scores, five windowed layers to a
// full one, and rotary settings of their own for the windowed layers. arXiv:2503.19786.
#include "tokamak/models/families.h"
#include "tokamak/models/rotary_config.h"

namespace tokamak::models {

constexpr ConfigDefaults kDefaults = {
    .vocab_size = 262208,
    .hidden_size = 2304,
    .intermediate_size = 9216,
    .num_layers = 26,
    .num_heads = 8,
    .num_kv_heads = 4,
    .head_dim = 256,
    .max_positions = 131072,
    .activation_key = "hidden_activation",
    .activation = "gelu_pytorch_tanh",
    .tied_embeddings = true,
    .bos_id = 2,
    .eos_ids = {1, -1, -1},
};

DecoderSpec gemma3(ConfigReader& config) {
  DecoderSpec spec = gemma_decoder(config, "gemma3_text", kDefaults);
  spec.qk_norm = QkNorm::kPerHead;
  spec.attention_softcap = static_cast<float>(config.number("attn_logit_softcapping", 0.0));
  spec.logits_softcap = static_cast<float>(config.number("final_logit_softcapping", 0.0));
  const RotaryFamily family = {.head_dim = spec.head_dim,
                               .max_positions = spec.max_positions,
                               .theta = 1e6,
                               .layer_type = "full_attention",
                               .stretched = true};
  RotaryFamily sliding_family = family;
  sliding_family.theta = 1e4;
  sliding_family.theta_key = "rope_local_base_freq";
  sliding_family.layer_type = "sliding_attention";
  sliding_family.nested_only = true;
  const op::RotarySettings full = read_rotary(config, family).settings,
                           local = read_rotary(config, sliding_family).settings;
  int64_t window = config.size_or_off("sliding_window", 4096).value_or(0);
  const auto pattern =
      static_cast<size_t>(config.size({"sliding_window_pattern", "_sliding_window_pattern"}, 6));
  std::vector<bool> sliding =
      sliding_layers(config, spec.layers.size(), [&](size_t i) { return (i + 1) % pattern != 0; });
  for (size_t i = 0; i < spec.layers.size(); ++i)
    spec.layers[i] = {sliding[i] ? local : full, sliding[i] ? window : 0};
  return spec;
}

}  // namespace tokamak::models
