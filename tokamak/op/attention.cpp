// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tokamak/op/norm.h"

namespace tokamak::op {
namespace {

Result<void> check_heads(std::string_view op,
                         int64_t num_heads,
                         int64_t num_kv_heads,
                         int64_t head_dim) {
  constexpr int64_t kLimit = 1 << 20;  // So that their products are far from overflowing.
  bool positive = num_heads > 0 && num_kv_heads > 0 && head_dim > 0;
  bool small = num_heads <= kLimit && num_kv_heads <= kLimit && head_dim <= kLimit;
  if (!positive || !small || num_heads % num_kv_heads) {
    return type_error(op,
                      fmt::format("num_heads {}, num_kv_heads {}, head_dim {}: must be positive, "
                                  "at most {}, and the second must divide the first",
                                  num_heads,
                                  num_kv_heads,
                                  head_dim,
                                  kLimit));
  }
  return {};
}

Result<void> check_layer(std::string_view op, int64_t layer) {
  constexpr int64_t kLimit = 1 << 16;
  if (layer >= 0 && layer < kLimit) return {};
  return type_error(op, fmt::format("layer {} is not within 0 to {}", layer, kLimit - 1));
}

Result<void> check_settings(std::string_view op, const AttentionSettings& a, const TensorType& q) {
  TKM_RETURN_IF_ERROR(check_heads(op, a.num_heads, a.num_kv_heads, a.head_dim));
  TKM_RETURN_IF_ERROR(check_layer(op, a.layer));
  if (a.window < 0 || !(a.softcap >= 0) || !std::isfinite(a.softcap) || !std::isfinite(a.scale)) {
    return type_error(
        op,
        fmt::format("window {}, softcap {} must not be negative, scale {} must be finite",
                    a.window,
                    a.softcap,
                    a.scale));
  }
  TKM_RETURN_IF_ERROR(expect_float(op, "q", q));
  TKM_RETURN_IF_ERROR(expect_rank(op, "q", q, 2));
  if (q.columns() != a.num_heads * a.head_dim) {
    return type_error(op,
                      fmt::format("q has {} columns, {} heads of {} need {}",
                                  q.columns(),
                                  a.num_heads,
                                  a.head_dim,
                                  a.num_heads * a.head_dim));
  }
  return {};
}

const KvCache& layer_of(std::string_view op, const BatchView& batch, int64_t layer) {
  TKM_CHECK(layer < static_cast<int64_t>(batch.layers.size()),
            "{}: layer {} of {} caches",
            op,
            layer,
            batch.layers.size());
  return batch.layers[static_cast<size_t>(layer)];
}

void append(const KvCache& cache,
            const SequenceSpan& sequence,
            int64_t token,
            int64_t kv_head,
            int value,
            const float* from) {
  int64_t position = sequence.context + token;
  int32_t page = sequence.pages[static_cast<size_t>(position / kPageTokens)];
  void* to = cache.at(page, value, static_cast<int32_t>(kv_head), position % kPageTokens);
  tensor::convert(DType::kF32, from, cache.dtype, to, cache.head_dim);
}

/// One head of one token: softmax over the visible positions, in fp64.
void attend_head(const AttentionSettings& a,
                 const KvCache& cache,
                 const SequenceSpan& sequence,
                 int64_t position,
                 int64_t kv_head,
                 const float* q,
                 float* y) {
  int64_t first = a.window ? std::max<int64_t>(0, position - a.window + 1) : 0;
  std::vector<double> scores(static_cast<size_t>(position - first + 1));
  std::vector<float> row(static_cast<size_t>(a.head_dim));
  auto load = [&](int64_t p, int value) {
    int32_t page = sequence.pages[static_cast<size_t>(p / kPageTokens)];
    tensor::convert(cache.dtype,
                    cache.at(page, value, static_cast<int32_t>(kv_head), p % kPageTokens),
                    DType::kF32,
                    row.data(),
                    a.head_dim);
  };
  double largest = -INFINITY;
  for (int64_t p = first; p <= position; ++p) {
    load(p, 0);
    double score = 0;
    for (int64_t i = 0; i < a.head_dim; ++i)
      score += static_cast<double>(q[i]) * row[static_cast<size_t>(i)];
    score *= a.scale;
    if (a.softcap > 0) score = a.softcap * std::tanh(score / a.softcap);
    scores[static_cast<size_t>(p - first)] = score;
    largest = std::max(largest, score);
  }
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - largest);
  std::vector<double> sums(static_cast<size_t>(a.head_dim), 0.0);
  for (int64_t p = first; p <= position; ++p) {
    load(p, 1);
    double weight = scores[static_cast<size_t>(p - first)] / total;
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += weight * row[i];
  }
  for (size_t i = 0; i < sums.size(); ++i) y[i] = static_cast<float>(sums[i]);
}

void attend_all(std::string_view op,
                const AttentionSettings& a,
                const BatchView& batch,
                const float* q,
                float* y) {
  const KvCache& cache = layer_of(op, batch, a.layer);
  int64_t group = a.num_heads / a.num_kv_heads;
  for (const SequenceSpan& sequence : batch.sequences) {
    for (int64_t token = 0; token < sequence.num_tokens; ++token) {
      for (int64_t head = 0; head < a.num_heads; ++head) {
        int64_t offset = ((sequence.first_token + token) * a.num_heads + head) * a.head_dim;
        attend_head(
            a, cache, sequence, sequence.context + token, head / group, q + offset, y + offset);
      }
    }
  }
}

}  // namespace

Result<Types> Attention::infer(const Attention& a, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 3));
  TKM_RETURN_IF_ERROR(check_settings(kName, a, inputs[0]));
  for (size_t i = 1; i < 3; ++i) {
    TensorType expected{inputs[0].dtype, {inputs[0].shape[0], a.num_kv_heads * a.head_dim}};
    if (inputs[i] != expected) {
      return type_error(kName,
                        fmt::format("{} is {}, but {} kv heads of {} need {}",
                                    i == 1 ? "k" : "v",
                                    inputs[i].text(),
                                    a.num_kv_heads,
                                    a.head_dim,
                                    expected.text()));
    }
  }
  return Types{inputs[0]};
}

void Attention::reference(const Attention& a,
                          const BatchView& batch,
                          TensorSpan inputs,
                          TensorSpan outputs) {
  const KvCache& cache = layer_of(kName, batch, a.layer);
  for (const SequenceSpan& sequence : batch.sequences) {
    for (int64_t token = 0; token < sequence.num_tokens; ++token) {
      for (int64_t head = 0; head < a.num_kv_heads; ++head) {
        int64_t offset = ((sequence.first_token + token) * a.num_kv_heads + head) * a.head_dim;
        append(cache, sequence, token, head, 0, inputs[1].as<float>().data() + offset);
        append(cache, sequence, token, head, 1, inputs[2].as<float>().data() + offset);
      }
    }
  }
  attend_all(kName, a, batch, inputs[0].as<float>().data(), outputs[0].as<float>().data());
}

Result<Types> Attend::infer(const Attend& a, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 1));
  TKM_RETURN_IF_ERROR(check_settings(kName, a, inputs[0]));
  return Types{inputs[0]};
}

void Attend::reference(const Attend& a,
                       const BatchView& batch,
                       TensorSpan inputs,
                       TensorSpan outputs) {
  attend_all(kName, a, batch, inputs[0].as<float>().data(), outputs[0].as<float>().data());
}

namespace {

/// The type of q.
Result<TensorType> infer_append(std::string_view op, const RopeAppend& r, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(op, inputs, r.qk_norm ? 4 : 2));
  TKM_RETURN_IF_ERROR(check_heads(op, r.num_heads, r.num_kv_heads, r.head_dim));
  TKM_RETURN_IF_ERROR(check_layer(op, r.layer));
  TKM_RETURN_IF_ERROR(check_rotary(op, r, r.head_dim));
  TKM_RETURN_IF_ERROR(expect_float(op, "qkv", inputs[0]));
  TKM_RETURN_IF_ERROR(expect_rank(op, "qkv", inputs[0], 2));
  TKM_RETURN_IF_ERROR(expect_positions(op, inputs[0], inputs[1]));
  if (r.qk_norm && (!(r.eps >= 0) || !std::isfinite(r.eps)))
    return type_error(op, fmt::format("eps is {}, must be finite and not negative", r.eps));
  int64_t columns = (r.num_heads + 2 * r.num_kv_heads) * r.head_dim;
  if (inputs[0].columns() != columns)
    return type_error(
        op, fmt::format("qkv has {} columns, the heads need {}", inputs[0].columns(), columns));
  for (size_t i = 2; i < inputs.size(); ++i) {
    TKM_RETURN_IF_ERROR(expect_float(op, i == 2 ? "q_norm" : "k_norm", inputs[i]));
    if (inputs[i].rank() != 1 || inputs[i].shape[0] != Dim(r.head_dim)) {
      return type_error(op,
                        fmt::format("{} is {}, must have {} elements",
                                    i == 2 ? "q_norm" : "k_norm",
                                    inputs[i].text(),
                                    r.head_dim));
    }
  }
  return TensorType{inputs[0].dtype, {inputs[0].shape[0], r.num_heads * r.head_dim}};
}

}  // namespace

Result<Types> RopeAppend::infer(const RopeAppend& r, TypeSpan inputs) {
  TKM_ASSIGN(TensorType q, infer_append(kName, r, inputs));
  return Types{q};
}

void RopeAppend::reference(const RopeAppend& r,
                           const BatchView& batch,
                           TensorSpan inputs,
                           TensorSpan outputs) {
  const KvCache& cache = layer_of(kName, batch, r.layer);
  const RotaryFrequencies frequencies(r);
  auto positions = inputs[1].as<int32_t>();
  int64_t heads = r.num_heads + 2 * r.num_kv_heads;
  std::vector<float> head(static_cast<size_t>(r.head_dim)), normed(head.size());
  RmsNorm norm{.eps = r.eps, .unit_offset = r.unit_offset};
  for (const SequenceSpan& sequence : batch.sequences) {
    for (int64_t token = 0; token < sequence.num_tokens; ++token) {
      int64_t row = sequence.first_token + token;
      for (int64_t h = 0; h < heads; ++h) {
        std::copy_n(
            inputs[0].as<float>().data() + (row * heads + h) * r.head_dim, r.head_dim, head.data());
        bool is_query = h < r.num_heads, is_value = h >= r.num_heads + r.num_kv_heads;
        if (r.qk_norm && !is_value) {
          TensorView x{DType::kF32, {1, r.head_dim}, head.data()},
              y{DType::kF32, {1, r.head_dim}, normed.data()};
          TensorView norm_inputs[] = {x, inputs[is_query ? 2 : 3]};
          RmsNorm::reference(norm, batch, norm_inputs, std::span(&y, 1));
          head = normed;
        }
        if (!is_value) {
          const int32_t given = positions[static_cast<size_t>(row)];
          rotate(r, frequencies.at(given), plain_position(given), head.data());
        }
        if (is_query) {
          std::copy(head.begin(),
                    head.end(),
                    outputs[0].as<float>().data() + (row * r.num_heads + h) * r.head_dim);
        } else {
          append(cache, sequence, token, (h - r.num_heads) % r.num_kv_heads, is_value, head.data());
        }
      }
    }
  }
}

RopeAttend::RopeAttend(const RopeAppend& append, const Attend& attend)
    : RopeAppend(append), scale(attend.scale), window(attend.window), softcap(attend.softcap) {}

Attend RopeAttend::attend() const {
  Attend attend;
  static_cast<AttentionSettings&>(attend) = {.layer = layer,
                                             .num_heads = num_heads,
                                             .num_kv_heads = num_kv_heads,
                                             .head_dim = head_dim,
                                             .scale = scale,
                                             .window = window,
                                             .softcap = softcap};
  return attend;
}

Result<Types> RopeAttend::infer(const RopeAttend& r, TypeSpan inputs) {
  TKM_ASSIGN(TensorType q, infer_append(kName, r, inputs));
  TKM_RETURN_IF_ERROR(check_settings(kName, r.attend(), q));
  return Types{q};
}

void RopeAttend::reference(const RopeAttend& r,
                           const BatchView& batch,
                           TensorSpan inputs,
                           TensorSpan outputs) {
  Tensor q(DType::kF32, outputs[0].shape);
  TensorView view = q.view();
  RopeAppend::reference(r, batch, inputs, std::span(&view, 1));
  Attend::reference(r.attend(), batch, std::span(&view, 1), outputs);
}

int64_t long_sequence_after(const Op& op) {
  const RotarySettings* rotary = op.as<Rope>();
  if (const auto* append = op.as<RopeAppend>()) rotary = append;
  if (const auto* both = op.as<RopeAttend>()) rotary = both;
  return rotary && !rotary->long_factors.empty() ? rotary->original_max_positions : 0;
}

std::optional<AttentionSettings> attention_settings(const Op& op) {
  if (const auto* attention = op.as<Attention>()) return *attention;
  if (const auto* attend = op.as<Attend>()) return *attend;
  if (const auto* both = op.as<RopeAttend>()) return both->attend();
  return std::nullopt;
}

}  // namespace tokamak::op
