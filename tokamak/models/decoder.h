// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer as data: what the dense families differ in, and the one function that
// writes its graph.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokamak/ir/functional.h"

namespace tokamak::models {

enum class NormKind { kRms, kLayer };
enum class QkNorm {
  kNone,
  kPerHead,  ///< RMS over each head (Qwen 3, Gemma 3).
  kRow,      ///< RMS over all heads together (OLMo 2).
};

/// Names of one family's tensors; "{}" is the layer. Empty: the family has no such tensor. A linear
/// layer's bias is its name with
/// ".weight" replaced by ".bias".
struct TensorNames {
  std::string embedding = "model.embed_tokens.weight";
  std::string position_embedding;
  std::string norm_before_attention = "model.layers.{}.input_layernorm.weight";
  std::string norm_after_attention;
  std::string norm_before_mlp = "model.layers.{}.post_attention_layernorm.weight";
  std::string norm_after_mlp;
  std::string qkv;  ///< Fused projections, rows q, k, v; else the three below.
  std::string q = "model.layers.{}.self_attn.q_proj.weight";
  std::string k = "model.layers.{}.self_attn.k_proj.weight";
  std::string v = "model.layers.{}.self_attn.v_proj.weight";
  std::string o = "model.layers.{}.self_attn.o_proj.weight";
  std::string q_norm = "model.layers.{}.self_attn.q_norm.weight";
  std::string k_norm = "model.layers.{}.self_attn.k_norm.weight";
  std::string gate_up;  ///< Fused, rows gate, up; else the two below.
  std::string gate = "model.layers.{}.mlp.gate_proj.weight";
  std::string up = "model.layers.{}.mlp.up_proj.weight";
  std::string down = "model.layers.{}.mlp.down_proj.weight";
  std::string final_norm = "model.norm.weight";
  std::string lm_head = "lm_head.weight";
};

/// What varies from layer to layer.
struct LayerSpec {
  op::RotarySettings rotary;
  int64_t window = 0;
};

struct DecoderSpec {
  std::string family;
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0;
  int64_t num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int64_t max_positions = 0;
  std::vector<LayerSpec> layers;
  TensorNames names;

  NormKind norm = NormKind::kRms;
  float norm_eps = 1e-6f;
  bool norm_unit_offset = false;  ///< Weights are stored minus one.
  bool norm_bias = false;
  QkNorm qk_norm = QkNorm::kNone;

  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool transposed_linear = false;  ///< Linear layers are stored [in, out] (GPT-2's Conv1D).
  op::ActivationKind activation = op::ActivationKind::kSilu;
  bool gated_mlp = true;
  bool parallel_mlp = false;  ///< Attention and MLP read the same normalized input (Cohere).

  float attention_scale = 0.0f;  ///< 0: 1 / sqrt(head_dim).
  float attention_softcap = 0.0f, logits_softcap = 0.0f;
  float embedding_scale = 1.0f, residual_scale = 1.0f, logits_scale = 1.0f;
  bool tied_embeddings = false;
  bool normalized_head = false;  ///< The head's rows are divided by their norm (Baichuan 2).

  int64_t usual_bos_id = -1;           ///< The family's, for configs that say nothing of it.
  std::vector<int64_t> usual_eos_ids;  ///< Likewise.
};

/// The same settings for every layer.
std::vector<LayerSpec> uniform_layers(int64_t num_layers,
                                      const op::RotarySettings& rotary,
                                      int64_t window = 0);

/// Inputs "token_ids" i32[T], "positions" i32[T], "rows" i32[R]; output f32[R, vocab]. Weights and
/// values have `dtype`. Errors: invalid, when the sizes of the spec contradict each other.
Result<std::unique_ptr<ir::Graph>> decoder_graph(const DecoderSpec& spec, DType dtype);

}  // namespace tokamak::models
