// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/decoder.h"

#include <cmath>

namespace tokamak::models {
namespace {

using ir::Value;

class DecoderBuilder {
 public:
  DecoderBuilder(const DecoderSpec& spec, DType dtype)
      : spec_(spec), dtype_(dtype), graph_(std::make_unique<ir::Graph>()) {}

  Result<std::unique_ptr<ir::Graph>> build() {
    Value ids = graph_->input("token_ids", {DType::kI32, {tensor::kTokens}});
    positions_ = graph_->input("positions", {DType::kI32, {tensor::kTokens}});
    Value rows = graph_->input("rows", {DType::kI32, {tensor::kRows}});
    Value table = weight(spec_.names.embedding, {spec_.vocab_size, spec_.hidden_size});
    Value x = embedding(ids, table) * spec_.embedding_scale;
    if (!spec_.names.position_embedding.empty()) {
      x = x + embedding(
                  positions_,
                  weight(spec_.names.position_embedding, {spec_.max_positions, spec_.hidden_size}));
    }
    for (layer_ = 0; layer_ < static_cast<int64_t>(spec_.layers.size()); ++layer_) x = block(x);
    x = norm(select_rows(x, rows), spec_.names.final_norm);
    graph_->output(head(x, table));
    TKM_RETURN_IF_ERROR(graph_->verify());
    return std::move(graph_);
  }

 private:
  std::string layer_name(const std::string& pattern) const {
    return fmt::format(fmt::runtime(pattern), layer_);
  }

  Value weight(const std::string& name, std::vector<Dim> shape, bool transposed = false) {
    return graph_->weight(
        name, {dtype_, std::move(shape)}, {{.tensor = name, .transposed = transposed}});
  }

  Value linear_layer(
      Value x, const std::string& pattern, int64_t outputs, int64_t inputs, bool has_bias) {
    std::string name = layer_name(pattern);
    Value bias;
    if (has_bias) bias = weight(name.substr(0, name.rfind(".weight")) + ".bias", {outputs});
    return ir::linear(x, weight(name, {outputs, inputs}, spec_.transposed_linear), bias);
  }

  Value norm(Value x, const std::string& pattern) {
    if (pattern.empty()) return x;
    std::string name = layer_name(pattern);
    Value gain = weight(name, {spec_.hidden_size});
    if (spec_.norm == NormKind::kRms)
      return ir::rms_norm(x, gain, {.eps = spec_.norm_eps, .unit_offset = spec_.norm_unit_offset});
    Value bias;
    if (spec_.norm_bias)
      bias = weight(name.substr(0, name.rfind(".weight")) + ".bias", {spec_.hidden_size});
    return ir::layer_norm(x, gain, bias, {.eps = spec_.norm_eps});
  }

  Value head_norm(Value x, const std::string& pattern, int64_t heads) {
    if (spec_.qk_norm == QkNorm::kNone) return x;
    int64_t length = spec_.qk_norm == QkNorm::kPerHead ? spec_.head_dim : heads * spec_.head_dim;
    return ir::rms_norm(x,
                        weight(layer_name(pattern), {length}),
                        {.eps = spec_.norm_eps, .unit_offset = spec_.norm_unit_offset});
  }

  Value attention_block(Value x) {
    const LayerSpec& layer = spec_.layers[static_cast<size_t>(layer_)];
    int64_t q_size = spec_.num_heads * spec_.head_dim,
            kv_size = spec_.num_kv_heads * spec_.head_dim;
    Value q, k, v;
    if (!spec_.names.qkv.empty()) {
      Value qkv =
          linear_layer(x, spec_.names.qkv, q_size + 2 * kv_size, spec_.hidden_size, spec_.qkv_bias);
      q = slice(qkv, 0, q_size);
      k = slice(qkv, q_size, kv_size);
      v = slice(qkv, q_size + kv_size, kv_size);
    } else {
      q = linear_layer(x, spec_.names.q, q_size, spec_.hidden_size, spec_.qkv_bias);
      k = linear_layer(x, spec_.names.k, kv_size, spec_.hidden_size, spec_.qkv_bias);
      v = linear_layer(x, spec_.names.v, kv_size, spec_.hidden_size, spec_.qkv_bias);
    }
    q = head_norm(q, spec_.names.q_norm, spec_.num_heads);
    k = head_norm(k, spec_.names.k_norm, spec_.num_kv_heads);
    if (layer.rotary.rotary_dim > 0) {
      q = rope(q, positions_, layer.rotary, spec_.head_dim);
      k = rope(k, positions_, layer.rotary, spec_.head_dim);
    }
    float scale = spec_.attention_scale > 0 ? spec_.attention_scale
                                            : 1.0f / std::sqrt(static_cast<float>(spec_.head_dim));
    Value y = attention(q,
                        k,
                        v,
                        {.layer = layer_,
                         .num_heads = spec_.num_heads,
                         .num_kv_heads = spec_.num_kv_heads,
                         .head_dim = spec_.head_dim,
                         .scale = scale,
                         .window = layer.window,
                         .softcap = spec_.attention_softcap});
    return linear_layer(y, spec_.names.o, spec_.hidden_size, q_size, spec_.o_bias);
  }

  Value mlp(Value x) {
    int64_t width = spec_.intermediate_size;
    Value hidden;
    if (!spec_.gated_mlp) {
      hidden = activation(linear_layer(x, spec_.names.up, width, spec_.hidden_size, spec_.mlp_bias),
                          spec_.activation);
    } else if (!spec_.names.gate_up.empty()) {
      Value both =
          linear_layer(x, spec_.names.gate_up, 2 * width, spec_.hidden_size, spec_.mlp_bias);
      hidden = activation(slice(both, 0, width), spec_.activation) * slice(both, width, width);
    } else {
      Value gate = linear_layer(x, spec_.names.gate, width, spec_.hidden_size, spec_.mlp_bias);
      Value up = linear_layer(x, spec_.names.up, width, spec_.hidden_size, spec_.mlp_bias);
      hidden = activation(gate, spec_.activation) * up;
    }
    return linear_layer(hidden, spec_.names.down, spec_.hidden_size, width, spec_.mlp_bias);
  }

  Value block(Value x) {
    Value normed = norm(x, spec_.names.norm_before_attention);
    Value attended = norm(attention_block(normed), spec_.names.norm_after_attention);
    if (spec_.parallel_mlp) return x + attended + mlp(normed);
    x = x + attended * spec_.residual_scale;
    return x + norm(mlp(norm(x, spec_.names.norm_before_mlp)), spec_.names.norm_after_mlp) *
                   spec_.residual_scale;
  }

  Value head(Value x, Value table) {
    Value w = table;
    if (!spec_.tied_embeddings) {
      w = graph_->weight(
          spec_.names.lm_head,
          {dtype_, {spec_.vocab_size, spec_.hidden_size}},
          {{.tensor = spec_.names.lm_head, .normalize_rows = spec_.normalized_head}});
    }
    Value y = ir::logits(x, w) * spec_.logits_scale;
    return spec_.logits_softcap > 0 ? softcap(y, spec_.logits_softcap) : y;
  }

  const DecoderSpec& spec_;
  DType dtype_;
  std::unique_ptr<ir::Graph> graph_;
  Value positions_;
  int64_t layer_ = 0;
};

}  // namespace

std::vector<LayerSpec> uniform_layers(int64_t num_layers,
                                      const op::RotarySettings& rotary,
                                      int64_t window) {
  return std::vector<LayerSpec>(static_cast<size_t>(num_layers), LayerSpec{rotary, window});
}

namespace {

/// Limits that keep every product of sizes far from overflowing: of a dimension and of a weight.
constexpr int64_t kMostColumns = int64_t{1} << 31, kMostElements = int64_t{1} << 40;

Result<void> check_weight(std::string_view what, int64_t rows, int64_t columns) {
  if (rows < kMostColumns && columns < kMostColumns && rows * columns <= kMostElements) return {};
  return base::invalid(fmt::format(
      "config.json: {} of {} by {} elements, a weight has at most 2^40", what, rows, columns));
}

/// The sizes are each below 2^31.
Result<void> check_sizes(const DecoderSpec& spec) {
  const int64_t q = spec.num_heads * spec.head_dim, kv = spec.num_kv_heads * spec.head_dim;
  TKM_RETURN_IF_ERROR(check_weight("queries", q, spec.hidden_size));
  TKM_RETURN_IF_ERROR(check_weight("keys", kv, spec.hidden_size));
  TKM_RETURN_IF_ERROR(check_weight("queries, keys and values", q + 2 * kv, spec.hidden_size));
  TKM_RETURN_IF_ERROR(check_weight("an MLP", 2 * spec.intermediate_size, spec.hidden_size));
  TKM_RETURN_IF_ERROR(check_weight("a vocabulary", spec.vocab_size, spec.hidden_size));
  if (spec.names.position_embedding.empty()) return {};
  return check_weight("positions", spec.max_positions, spec.hidden_size);
}

}  // namespace

Result<std::unique_ptr<ir::Graph>> decoder_graph(const DecoderSpec& spec, DType dtype) {
  if (spec.num_heads % spec.num_kv_heads) {
    return base::invalid(
        fmt::format("config.json: {} attention heads cannot share {} key/value heads",
                    spec.num_heads,
                    spec.num_kv_heads));
  }
  TKM_RETURN_IF_ERROR(check_sizes(spec));
  return DecoderBuilder(spec, dtype).build();
}

}  // namespace tokamak::models
