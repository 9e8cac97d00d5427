// SPDX-License-Identifier: Apache-2.0
// Causal attention over the paged key/value cache: one semantic op, and the two halves that passes
// split it into.
#pragma once

#include "tokamak/op/rope.h"

namespace tokamak::op {

/// Shape and scoring of one layer's attention. Vaswani et al., arXiv:1706.03762; grouped queries:
/// Ainslie et al., arXiv:2305.13245.
struct AttentionSettings {
  int64_t layer = 0;  ///< Index of the cache.
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  ///< Divides num_heads.
  int64_t head_dim = 0;
  float scale = 0.0f;    ///< Of the scores, before the softcap.
  int64_t window = 0;    ///< A token sees itself and window - 1 before it; 0 sees all.
  float softcap = 0.0f;  ///< Scores become softcap * tanh(score / softcap); 0 leaves them.
  static constexpr auto kFields =
      std::tuple{Field{"layer", &AttentionSettings::layer},
                 Field{"num_heads", &AttentionSettings::num_heads},
                 Field{"num_kv_heads", &AttentionSettings::num_kv_heads},
                 Field{"head_dim", &AttentionSettings::head_dim},
                 Field{"scale", &AttentionSettings::scale},
                 Field{"window", &AttentionSettings::window},
                 Field{"softcap", &AttentionSettings::softcap}};
};

/// Appends k and v [T, num_kv_heads * head_dim] to the cache and attends with q [T, num_heads *
/// head_dim]: y has q's type.
struct Attention : AttentionSettings {
  static constexpr std::string_view kName = "attention";
  static constexpr bool kHasState = true;
  static Result<Types> infer(const Attention&, TypeSpan inputs);
  static void reference(const Attention&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// The second half of Attention: attends with q over what is in the cache, this step's tokens
/// included.
struct Attend : AttentionSettings {
  static constexpr std::string_view kName = "attend";
  static constexpr bool kHasState = true;
  static Result<Types> infer(const Attend&, TypeSpan inputs);
  static void reference(const Attend&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// The first half: from merged projections qkv [T, (num_heads + 2 num_kv_heads) * head_dim] and
/// positions i32[T], normalizes (if qk_norm: RMS over each head, inputs q_norm and k_norm
/// [head_dim]) and rotates q and k, appends k and v to the cache, returns q.
struct RopeAppend : RotarySettings {
  static constexpr std::string_view kName = "rope_append";
  static constexpr bool kHasState = true;
  int64_t layer = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  bool qk_norm = false;
  float eps = 1e-6f;
  bool unit_offset = false;
  static constexpr auto kFields =
      std::tuple_cat(std::tuple{Field{"layer", &RopeAppend::layer},
                                Field{"num_heads", &RopeAppend::num_heads},
                                Field{"num_kv_heads", &RopeAppend::num_kv_heads},
                                Field{"head_dim", &RopeAppend::head_dim},
                                Field{"qk_norm", &RopeAppend::qk_norm},
                                Field{"eps", &RopeAppend::eps},
                                Field{"unit_offset", &RopeAppend::unit_offset}},
                     RotarySettings::kFields);
  static Result<Types> infer(const RopeAppend&, TypeSpan inputs);
  static void reference(const RopeAppend&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// Both halves as one: attends with the q that rope_append makes of qkv, for targets that rather
/// run them together. Inputs as of RopeAppend; y [T, num_heads * head_dim].
struct RopeAttend : RopeAppend {
  static constexpr std::string_view kName = "rope_attend";
  float scale = 0.0f;
  int64_t window = 0;
  float softcap = 0.0f;
  static constexpr auto kFields =
      std::tuple_cat(RopeAppend::kFields,
                     std::tuple{Field{"scale", &RopeAttend::scale},
                                Field{"window", &RopeAttend::window},
                                Field{"softcap", &RopeAttend::softcap}});
  RopeAttend() = default;
  RopeAttend(const RopeAppend& append, const Attend& attend);
  Attend attend() const;
  static Result<Types> infer(const RopeAttend&, TypeSpan inputs);
  static void reference(const RopeAttend&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

/// Tokens of a sequence beyond which the op rotates all its positions in another way (longrope); 0:
/// none, as of ops that do not rotate.
int64_t long_sequence_after(const Op& op);

/// Of an op that attends; nothing for others.
std::optional<AttentionSettings> attention_settings(const Op& op);

}  // namespace tokamak::op
