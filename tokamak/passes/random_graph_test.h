// SPDX-License-Identifier: Apache-2.0
// Random graphs with values for their inputs and weights, for the tests of passes and of the
// pipeline: small decoders in all the variants that the families have, and wild graphs.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>

#include "tokamak/ir/functional.h"
#include "tokamak/ir/reference.h"

namespace tokamak::passes {

struct RandomGraph {
  std::unique_ptr<ir::Graph> graph = std::make_unique<ir::Graph>();
  ir::TensorMap inputs, checkpoint;
  int64_t num_tokens = 1;
};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  /// Uniform in [low, high].
  int64_t between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  bool coin() { return between(0, 1) == 1; }
  template <typename T>
  T pick(const std::vector<T>& from) {
    return from[static_cast<size_t>(between(0, static_cast<int64_t>(from.size()) - 1))];
  }
  Tensor floats(Shape shape, float mean, float deviation) {
    Tensor out(DType::kF32, std::move(shape));
    std::normal_distribution<float> normal(mean, deviation);
    for (float& value : out.floats()) value = normal(engine_);
    return out;
  }
  Tensor ints(int64_t count, int64_t low, int64_t high) {
    Tensor out(DType::kI32, {count});
    for (int32_t& value : out.ints()) value = static_cast<int32_t>(between(low, high));
    return out;
  }

 private:
  std::mt19937 engine_;
};

/// Adds weights and their values to a RandomGraph.
class WeightSource {
 public:
  WeightSource(RandomGraph& to, Random& random) : to_(to), random_(random) {}

  ir::Value vector(const std::string& name, int64_t size, float mean) {
    to_.checkpoint[name] = random_.floats({size}, mean, 0.3f);
    return to_.graph->weight(name, {DType::kF32, {size}});
  }
  ir::Value matrix(const std::string& name, int64_t rows, int64_t columns, bool stored_transposed) {
    float deviation = 1.0f / std::sqrt(static_cast<float>(columns));
    Shape stored = stored_transposed ? Shape{columns, rows} : Shape{rows, columns};
    to_.checkpoint[name] = random_.floats(stored, 0, deviation);
    WeightPart part{.tensor = name, .transposed = stored_transposed};
    return to_.graph->weight(name, {DType::kF32, {rows, columns}}, {part});
  }
  /// A linear layer in one of the ways to write it.
  ir::Value linear(ir::Value x, const std::string& name, int64_t outputs, bool bias) {
    int64_t columns = x.type().columns();
    bool flipped = random_.coin(), stored_transposed = random_.coin();
    ir::Value w = flipped ? matrix(name + ".weight", columns, outputs, stored_transposed)
                          : matrix(name + ".weight", outputs, columns, stored_transposed);
    ir::Value b;
    if (bias) b = vector(name + ".bias", outputs, 0);
    if (!flipped && random_.coin()) return ir::linear(x, w, b);
    ir::Value y = flipped ? ir::matmul(x, w) : ir::linear(x, w);
    return bias ? y + b : y;
  }

 private:
  RandomGraph& to_;
  Random& random_;
};

class RandomDecoder {
 public:
  explicit RandomDecoder(uint32_t seed) : random_(seed), weights_(out_, random_) {}

  RandomGraph build() {
    ir::Graph& graph = *out_.graph;
    constexpr int64_t kVocab = 11;
    out_.num_tokens = random_.coin() ? random_.between(1, 9) : random_.between(60, 70);
    ir::Value ids = graph.input("token_ids", {DType::kI32, {tensor::kTokens}});
    positions_ = graph.input("positions", {DType::kI32, {tensor::kTokens}});
    ir::Value rows = graph.input("rows", {DType::kI32, {tensor::kRows}});
    out_.inputs["token_ids"] = random_.ints(out_.num_tokens, 0, kVocab - 1);
    out_.inputs["positions"] = Tensor(DType::kI32, {out_.num_tokens});
    for (size_t t = 0; t < out_.inputs["positions"].ints().size(); ++t)
      out_.inputs["positions"].ints()[t] = static_cast<int32_t>(t);
    out_.inputs["rows"] = random_.ints(random_.between(1, 3), 0, out_.num_tokens - 1);
    ir::Value table = weights_.matrix("embed", kVocab, hidden_, false);
    ir::Value x = ir::embedding(ids, table);
    if (learned_positions_)
      x = x + ir::embedding(positions_, weights_.matrix("wpe", 80, hidden_, false));
    int64_t layers = random_.between(1, 2);
    for (layer_ = 0; layer_ < layers; ++layer_) x = block(x);
    ir::Value y = ir::logits(norm(ir::select_rows(x, rows), "norm", 0), table);
    graph.output(random_.coin() ? ir::softcap(y, 30.0f) : y);
    return std::move(out_);
  }

 private:
  std::string name(const std::string& tensor) const {
    return fmt::format("layers.{}.{}", layer_, tensor);
  }

  ir::Value norm(ir::Value x, const std::string& tensor, int64_t length) {
    ir::Value w = weights_.vector(tensor + ".weight", length ? length : x.type().columns(), 1);
    if (rms_ || length) return ir::rms_norm(x, w, {.eps = 1e-5f, .unit_offset = unit_offset_});
    ir::Value b;
    if (bias_) b = weights_.vector(tensor + ".bias", x.type().columns(), 0);
    return ir::layer_norm(x, w, b, {});
  }

  ir::Value attention(ir::Value x) {
    int64_t q_size = heads_ * head_dim_, kv_size = kv_heads_ * head_dim_;
    ir::Value q, k, v;
    if (fused_) {
      ir::Value qkv = weights_.linear(x, name("qkv"), q_size + 2 * kv_size, bias_);
      q = ir::slice(qkv, 0, q_size);
      k = ir::slice(qkv, q_size, kv_size);
      v = ir::slice(qkv, q_size + kv_size, kv_size);
    } else {
      q = weights_.linear(x, name("q"), q_size, bias_);
      k = weights_.linear(x, name("k"), kv_size, bias_);
      v = weights_.linear(x, name("v"), kv_size, bias_);
    }
    if (qk_norm_) {
      q = norm(q, name("q_norm"), whole_row_ ? q_size : head_dim_);
      k = norm(k, name("k_norm"), whole_row_ ? kv_size : head_dim_);
    }
    if (rotary_.rotary_dim) {
      q = ir::rope(q, positions_, rotary_, head_dim_);
      k = ir::rope(k, positions_, rotary_, head_dim_);
    }
    ir::Value y = ir::attention(q,
                                k,
                                v,
                                {.layer = layer_,
                                 .num_heads = heads_,
                                 .num_kv_heads = kv_heads_,
                                 .head_dim = head_dim_,
                                 .scale = 0.4f,
                                 .window = window_,
                                 .softcap = softcap_});
    return weights_.linear(y, name("o"), hidden_, bias_);
  }

  ir::Value mlp(ir::Value x) {
    ir::Value y;
    if (!gated_) {
      y = ir::activation(weights_.linear(x, name("up"), width_, bias_), kind_);
    } else if (fused_) {
      ir::Value both = weights_.linear(x, name("gate_up"), 2 * width_, bias_);
      y = ir::activation(ir::slice(both, 0, width_), kind_) * ir::slice(both, width_, width_);
    } else {
      ir::Value gate = weights_.linear(x, name("gate"), width_, bias_);
      y = ir::activation(gate, kind_) * weights_.linear(x, name("up"), width_, bias_);
    }
    return weights_.linear(y, name("down"), hidden_, bias_);
  }

  ir::Value block(ir::Value x) {
    ir::Value normed = norm(x, name("input_norm"), 0);
    ir::Value attended = attention(normed);
    if (post_norms_) attended = norm(attended, name("post_attention_norm"), 0);
    if (parallel_) return x + attended + mlp(normed);
    x = x + attended * residual_scale_;
    ir::Value y = mlp(norm(x, name("mlp_norm"), 0));
    if (post_norms_) y = norm(y, name("post_mlp_norm"), 0);
    return x + y * residual_scale_;
  }

  RandomGraph out_;
  Random random_;
  WeightSource weights_;
  ir::Value positions_;
  int64_t layer_ = 0;
  int64_t hidden_ = random_.between(3, 12), width_ = random_.between(3, 10);
  int64_t head_dim_ = 2 * random_.between(1, 4);
  int64_t kv_heads_ = random_.between(1, 2), heads_ = kv_heads_ * random_.between(1, 3);
  bool rms_ = random_.between(0, 3) > 0, unit_offset_ = random_.coin(), bias_ = random_.coin();
  bool fused_ = random_.coin(), gated_ = random_.between(0, 3) > 0;
  bool qk_norm_ = random_.coin(), whole_row_ = random_.between(0, 2) == 0;
  bool post_norms_ = random_.between(0, 3) == 0, parallel_ = random_.between(0, 3) == 0;
  bool learned_positions_ = random_.between(0, 3) == 0;
  float residual_scale_ = random_.pick<float>({1, 1, 0.5f});
  int64_t window_ = random_.pick<int64_t>({0, 0, 3, 64});
  float softcap_ = random_.pick<float>({0, 0, 5});
  op::ActivationKind kind_ = random_.pick<op::ActivationKind>({op::ActivationKind::kRelu,
                                                               op::ActivationKind::kSilu,
                                                               op::ActivationKind::kGelu,
                                                               op::ActivationKind::kGeluTanh});
  op::RotarySettings rotary_ = {.rotary_dim = 2 * random_.between(0, head_dim_ / 2),
                                .interleaved = random_.coin(),
                                .theta = 100.0f};
};

/// Any ops on any values that fit them, weights shared here and there, results that are outputs
/// here and there, leftovers that nobody uses.
class WildGraph {
 public:
  explicit WildGraph(uint32_t seed) : random_(seed), weights_(out_, random_) {}

  RandomGraph build() {
    out_.num_tokens = random_.between(1, 4);
    for (int64_t i = 0; i < 2; ++i) {
      int64_t columns = i ? 6 : 4;
      std::string name = fmt::format("x{}", i);
      values_.push_back(out_.graph->input(name, {DType::kF32, {tensor::kTokens, columns}}));
      out_.inputs[name] = random_.floats({out_.num_tokens, columns}, 0, 1);
    }
    for (int64_t step = random_.between(4, 24); step > 0; --step) {
      ir::Value y = next();
      if (!y.valid()) continue;
      values_.push_back(y);
      if (random_.between(0, 7) == 0) out_.graph->output(y);
    }
    out_.graph->output(values_.back());
    return std::move(out_);
  }

 private:
  /// Recent values are likelier, so that chains form.
  ir::Value any() {
    size_t back = static_cast<size_t>(random_.between(0, random_.coin() ? 1 : 5));
    return values_[values_.size() - 1 - std::min(back, values_.size() - 1)];
  }
  ir::Value like(ir::Value x) {
    std::vector<ir::Value> same;
    for (const ir::Value& value : values_) {
      if (value.type() == x.type()) same.push_back(value);
    }
    return random_.pick(same);
  }
  std::string fresh() { return fmt::format("w{}", count_++); }
  op::ActivationKind kind() { return static_cast<op::ActivationKind>(random_.between(0, 4)); }
  ir::Value row(ir::Value x, float mean) {
    return weights_.vector(fresh(), x.type().columns(), mean);
  }
  ir::Value product(ir::Value x) {
    if (random_.coin())
      return weights_.linear(x, fresh(), 2 * random_.between(1, 4), random_.coin());
    op::MatMul m{.transposed = random_.coin(),
                 .bias = random_.coin(),
                 .residual = random_.coin(),
                 .activation = kind(),
                 .gated = random_.between(0, 3) == 0};
    int64_t columns = x.type().columns(), outputs = columns * (m.gated ? 2 : 1);
    std::vector<ir::Value> inputs = {x};
    inputs.push_back(m.transposed ? weights_.matrix(fresh(), outputs, columns, random_.coin())
                                  : weights_.matrix(fresh(), columns, outputs, random_.coin()));
    if (m.bias) inputs.push_back(weights_.vector(fresh(), outputs, 0));
    if (m.residual) inputs.push_back(like(x));
    return out_.graph->apply(m, inputs);
  }
  ir::Value halves(ir::Value x) {
    int64_t width = x.type().columns() / 2;
    if (x.type().columns() % 2) return {};
    if (random_.coin()) return out_.graph->apply(op::GatedActivation{.kind = kind()}, {x});
    ir::Value gate = ir::activation(ir::slice(x, 0, width), kind());
    ir::Value up = ir::slice(x, random_.coin() ? width : 0, width);
    return random_.coin() ? gate * up : up * gate;
  }
  ir::Value siblings(ir::Value x) {
    bool bias = random_.coin();
    ir::Value gate = weights_.linear(x, fresh() + ".gate", 4, bias);
    ir::Value up = weights_.linear(x, fresh() + ".up", 4, bias);
    if (random_.between(0, 3) == 0) values_.push_back(up);
    return random_.coin() ? ir::activation(gate, kind()) * up : up * ir::activation(gate, kind());
  }
  ir::Value normed(ir::Value x) {
    if (random_.coin()) x = x + like(x);
    op::RmsNorm settings{.eps = 1e-3f, .unit_offset = random_.coin()};
    if (x.type().columns() % 2 == 0 && random_.between(0, 2) == 0) settings.group = 2;
    return ir::rms_norm(x, row(x, 1), settings);
  }
  ir::Value next() {
    ir::Value x = any();
    switch (random_.between(0, 9)) {
      case 0:
        return x + like(x);
      case 1:
        return x + row(x, 0);
      case 2:
        return ir::softcap(x * like(x), 3.0f);
      case 3:
        return ir::activation(x, kind());
      case 4:
        return halves(x);
      case 5:
        return siblings(x);
      case 6:
        return normed(x);
      case 7:
        return ir::slice(x, 0, random_.between(1, x.type().columns()));
      default:
        return product(x);
    }
  }

  RandomGraph out_;
  Random random_;
  WeightSource weights_;
  std::vector<ir::Value> values_;
  int count_ = 0;
};

/// Largest difference of any output, relative to that output's largest value.
inline double relative_error(const std::vector<Tensor>& expected, const std::vector<Tensor>& got) {
  double worst = expected.size() == got.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(expected.size(), got.size()); ++i) {
    double scale = 1e-6, difference = 0;
    auto a = expected[i].floats(), b = got[i].floats();
    for (size_t j = 0; j < a.size(); ++j) {
      scale = std::max(scale, std::abs(static_cast<double>(a[j])));
      double d = std::abs(static_cast<double>(a[j]) - b[j]);
      difference = d <= difference ? difference : d;  // NaN sticks
    }
    double error = difference / scale;
    worst = error <= worst ? worst : error;
  }
  return worst;
}

}  // namespace tokamak::passes
