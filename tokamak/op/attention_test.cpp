// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "tokamak/base/fields_json.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/op/norm.h"
#include "tokamak/op/op_test.h"

namespace tokamak::op {
namespace {

class Numbers {
 public:
  explicit Numbers(uint32_t seed) : engine_(seed) {}
  Tensor operator()(int64_t rows, int64_t columns) {
    Tensor out(DType::kF32, {rows, columns});
    for (float& value : out.floats()) value = normal_(engine_);
    return out;
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

/// A one-layer cache for a few sequences, whose pages are handed out in a scrambled order.
class Cache {
 public:
  Cache(int64_t kv_heads,
        int64_t head_dim,
        int64_t sequences,
        int64_t max_tokens,
        DType dtype = DType::kF32)
      : pages_of_(static_cast<size_t>(sequences)), context_(static_cast<size_t>(sequences), 0) {
    int64_t each = (max_tokens + kPageTokens - 1) / kPageTokens, pages = sequences * each;
    int64_t bytes = KvCache::bytes_of_page(dtype, kv_heads, head_dim);
    storage_ = Tensor(DType::kU8, {pages * bytes});
    std::fill_n(storage_.view().as<uint8_t>().begin(), pages * bytes, 0xff);  // NaN
    layer_ = {dtype,
              static_cast<int32_t>(kv_heads),
              static_cast<int32_t>(head_dim),
              bytes,
              storage_.view().data};
    for (int64_t p = 0; p < pages; ++p)
      pages_of_[static_cast<size_t>(p % sequences)].push_back(static_cast<int32_t>(pages - 1 - p));
  }
  /// The batch in which sequence i gets its next counts[i] tokens.
  BatchView step(const std::vector<int32_t>& counts) {
    spans_.clear();
    int32_t row = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      spans_.push_back({row, counts[i], context_[i], pages_of_[i]});
      row += counts[i];
      context_[i] += counts[i];
    }
    return {spans_, std::span(&layer_, 1)};
  }

 private:
  Tensor storage_;
  KvCache layer_;
  std::vector<std::vector<int32_t>> pages_of_;
  std::vector<int32_t> context_;
  std::vector<SequenceSpan> spans_;
};

/// One sequence's attention computed densely: all scores of a head, a mask, a softmax.
std::vector<float> dense(const AttentionSettings& a,
                         const Tensor& q,
                         const Tensor& k,
                         const Tensor& v) {
  int64_t tokens = q.shape()[0], group = a.num_heads / a.num_kv_heads;
  std::vector<float> y(q.floats().size());
  auto at = [&](const Tensor& x, int64_t t, int64_t head, int64_t i) {
    return static_cast<double>(
        x.floats()[static_cast<size_t>(t * x.shape()[1] + head * a.head_dim + i)]);
  };
  for (int64_t h = 0; h < a.num_heads; ++h) {
    for (int64_t t = 0; t < tokens; ++t) {
      std::vector<double> weights(static_cast<size_t>(tokens));
      double total = 0;
      for (int64_t s = 0; s < tokens; ++s) {
        bool visible = s <= t && (a.window == 0 || t - s < a.window);
        double score = 0;
        for (int64_t i = 0; i < a.head_dim; ++i) score += at(q, t, h, i) * at(k, s, h / group, i);
        score *= a.scale;
        if (a.softcap > 0) score = a.softcap * std::tanh(score / a.softcap);
        total += weights[static_cast<size_t>(s)] = visible ? std::exp(score) : 0;
      }
      for (int64_t i = 0; i < a.head_dim; ++i) {
        double sum = 0;
        for (int64_t s = 0; s < tokens; ++s)
          sum += weights[static_cast<size_t>(s)] / total * at(v, s, h / group, i);
        y[static_cast<size_t>((t * a.num_heads + h) * a.head_dim + i)] = static_cast<float>(sum);
      }
    }
  }
  return y;
}

Tensor rows(const Tensor& x, int64_t begin, int64_t count) {
  Tensor out(DType::kF32, {count, x.shape()[1]});
  std::copy_n(x.floats().begin() + begin * x.shape()[1], out.count(), out.floats().begin());
  return out;
}
Tensor stack(const std::vector<Tensor>& parts) {
  int64_t count = 0;
  for (const Tensor& part : parts) count += part.shape()[0];
  Tensor out(DType::kF32, {count, parts[0].shape()[1]});
  auto to = out.floats().begin();
  for (const Tensor& part : parts) to = std::copy(part.floats().begin(), part.floats().end(), to);
  return out;
}

Attention attention(AttentionSettings settings) {
  Attention out;
  static_cast<AttentionSettings&>(out) = settings;
  return out;
}
Attend attend(AttentionSettings settings) {
  Attend out;
  static_cast<AttentionSettings&>(out) = settings;
  return out;
}

TEST(Attention, meets_the_dense_computation_over_chunks_pages_and_sequences) {
  for (const AttentionSettings& a :
       {AttentionSettings{.num_heads = 4, .num_kv_heads = 2, .head_dim = 6, .scale = 0.4f},
        AttentionSettings{
            .num_heads = 3, .num_kv_heads = 3, .head_dim = 4, .scale = 1, .window = 1},
        AttentionSettings{
            .num_heads = 4, .num_kv_heads = 1, .head_dim = 4, .scale = 0.5f, .window = 70},
        AttentionSettings{
            .num_heads = 2, .num_kv_heads = 1, .head_dim = 8, .scale = 2, .softcap = 3},
        AttentionSettings{.num_heads = 2,
        .num_kv_heads = 2,
        .head_dim = 2,
        .scale = 0,
        .window = 5,
        .softcap = 1}}) {
    SCOPED_TRACE(base::fields_to_json(a).dump());
    constexpr int64_t kTokens[] = {131, 7};
    Numbers numbers(11);
    std::vector<Tensor> q, k, v;
    for (int64_t tokens : kTokens) {
      q.push_back(numbers(tokens, a.num_heads * a.head_dim));
      k.push_back(numbers(tokens, a.num_kv_heads * a.head_dim));
      v.push_back(numbers(tokens, a.num_kv_heads * a.head_dim));
    }
    Cache cache(a.num_kv_heads, a.head_dim, 2, 131);
    std::vector<std::vector<float>> got(2);
    int64_t done[] = {0, 0};
    for (std::vector<int32_t> counts : {std::vector<int32_t>{60, 5}, {10, 1}, {60, 0}, {1, 1}}) {
      auto batch_of = [&](const std::vector<Tensor>& x) {
        return stack({rows(x[0], done[0], counts[0]), rows(x[1], done[1], counts[1])});
      };
      Tensor y = run(attention(a), {batch_of(q), batch_of(k), batch_of(v)}, cache.step(counts))[0];
      int64_t row = 0;
      for (size_t i = 0; i < 2; ++i) {
        Tensor part = rows(y, row, counts[i]);
        got[i].insert(got[i].end(), part.floats().begin(), part.floats().end());
        row += counts[i];
        done[i] += counts[i];
      }
    }
    for (size_t i = 0; i < 2; ++i) expect_near(got[i], dense(a, q[i], k[i], v[i]), 1e-5f);
  }
}

TEST(Attention, equal_scores_give_the_mean_of_the_window) {
  AttentionSettings a{.num_heads = 1, .num_kv_heads = 1, .head_dim = 2, .scale = 0, .window = 2};
  Tensor v = floats({3, 2}, {1, 10, 3, 30, 5, 50});
  Cache cache(1, 2, 1, 3);
  expect_near(run(attention(a), {v, v, v}, cache.step({3}))[0].floats(), {1, 10, 2, 20, 4, 40});
}

TEST(Attention, keeps_keys_and_values_in_the_dtype_of_the_cache) {
  AttentionSettings a{.num_heads = 1, .num_kv_heads = 1, .head_dim = 2, .scale = 0};
  Tensor v = floats({1, 2}, {1.001f, -3.003f});
  Cache cache(1, 2, 1, 1, DType::kBF16);
  expect_near(run(attention(a), {v, v, v}, cache.step({1}))[0].floats(), {1, -3}, 0);
}

/// The split form is the sum of its parts: norms, rotations, attention.
TEST(RopeAppend, with_attend_is_attention_over_normed_and_rotated_slices) {
  for (bool qk_norm : {false, true}) {
    constexpr int64_t kHeads = 4, kKvHeads = 2, kDim = 6, kQ = kHeads * kDim, kKv = kKvHeads * kDim;
    AttentionSettings a{
        .num_heads = kHeads, .num_kv_heads = kKvHeads, .head_dim = kDim, .scale = 0.4f};
    RotarySettings rotary{.rotary_dim = 4, .interleaved = qk_norm, .theta = 50};
    Numbers numbers(5);
    Tensor qkv = numbers(70, kQ + 2 * kKv), positions(DType::kI32, {70});
    for (size_t t = 0; t < 70; ++t) positions.ints()[t] = static_cast<int32_t>(t);
    Tensor q_norm = floats({kDim}, {1, 2, 3, 4, 5, 6}), k_norm = floats({kDim}, {3, 1, 2, 1, 2, 1});

    RopeAppend append;
    static_cast<RotarySettings&>(append) = rotary;
    append.num_heads = kHeads;
    append.num_kv_heads = kKvHeads;
    append.head_dim = kDim;
    append.qk_norm = qk_norm;
    append.eps = 1e-3f;
    append.unit_offset = true;
    std::vector<Tensor> inputs = {qkv, positions};
    if (qk_norm) inputs.insert(inputs.end(), {q_norm, k_norm});
    Cache cache(kKvHeads, kDim, 1, 70);
    BatchView batch = cache.step({70});
    Tensor y = run(attend(a), run(append, inputs, batch), batch)[0];
    Cache other(kKvHeads, kDim, 1, 70);
    Tensor together = run(RopeAttend(append, attend(a)), inputs, other.step({70}))[0];
    EXPECT_EQ(std::memcmp(y.view().data, together.view().data, y.view().bytes()), 0);

    Tensor q = run(Slice{.begin = 0, .size = kQ}, {qkv})[0];
    Tensor k = run(Slice{.begin = kQ, .size = kKv}, {qkv})[0];
    Tensor v = run(Slice{.begin = kQ + kKv, .size = kKv}, {qkv})[0];
    if (qk_norm) {
      q = run(RmsNorm{.eps = 1e-3f, .unit_offset = true}, {q, q_norm})[0];
      k = run(RmsNorm{.eps = 1e-3f, .unit_offset = true}, {k, k_norm})[0];
    }
    Rope rope;
    static_cast<RotarySettings&>(rope) = rotary;
    rope.head_dim = kDim;
    std::vector<float> expected =
        dense(a, run(rope, {q, positions})[0], run(rope, {k, positions})[0], v);
    expect_near(y.floats(), expected, 1e-5f);
  }
}

TEST(Attention, a_layer_without_a_cache_is_a_failed_check) {
  AttentionSettings a{.layer = 1, .num_heads = 1, .num_kv_heads = 1, .head_dim = 2};
  Tensor x = floats({1, 2}, {1, 2});
  Cache cache(1, 2, 1, 1);
  EXPECT_THROW(run(attention(a), {x, x, x}, cache.step({1})), base::CheckFailure);
}

TEST(Attention, types) {
  AttentionSettings good{.num_heads = 4, .num_kv_heads = 2, .head_dim = 8, .scale = 0.5f};
  auto with = [&](auto change) {
    AttentionSettings a = good;
    change(a);
    return attention(a);
  };
  const std::vector<std::string> in = {"bf16[T, 32]", "bf16[T, 16]", "bf16[T, 16]"};
  const std::string heads =
      ": must be positive, at most 1048576, and the second must divide the first";
  check_types({
      {attention(good), in, "bf16[T, 32]"},
      {attend(good), {"bf16[T, 32]"}, "bf16[T, 32]"},
      {attention(good), {"bf16[T, 32]", "bf16[T, 16]"}, "attention: 2 inputs given, takes 3"},
      {attention(good),
       {"bf16[T, 30]", "bf16[T, 16]", "bf16[T, 16]"},
       "attention: q has 30 columns, 4 heads of 8 need 32"},
      {attention(good),
       {"bf16[T, 32]", "bf16[T, 32]", "bf16[T, 16]"},
       "attention: k is bf16[T, 32], but 2 kv heads of 8 need bf16[T, 16]"},
      {attention(good),
       {"bf16[T, 32]", "bf16[T, 16]", "f32[T, 16]"},
       "attention: v is f32[T, 16], but 2 kv heads of 8 need bf16[T, 16]"},
      {attention(good),
       {"bf16[T, 32]", "bf16[R, 16]", "bf16[T, 16]"},
       "attention: k is bf16[R, 16], but 2 kv heads of 8 need bf16[T, 16]"},
      {with([](auto& a) { a.num_kv_heads = 3; }),
       in,
       "attention: num_heads 4, num_kv_heads 3, head_dim 8" + heads},
      {with([](auto& a) { a.head_dim = int64_t{1} << 40; }),
       in,
       "attention: num_heads 4, num_kv_heads 2, head_dim 1099511627776" + heads},
      {with([](auto& a) { a.layer = -1; }), in, "attention: layer -1 is not within 0 to 65535"},
      {with([](auto& a) { a.window = -1; }),
       in,
       "attention: window -1, softcap 0 must not be negative, scale 0.5 must be finite"},
      {with([](auto& a) { a.scale = INFINITY; }),
       in,
       "attention: window 0, softcap 0 must not be negative, scale inf must be finite"},
      {attend(good), {"bf16[T, 16]"}, "attend: q has 16 columns, 4 heads of 8 need 32"},
  });
}

TEST(RopeAppend, types) {
  RopeAppend good;
  good.num_heads = 4;
  good.num_kv_heads = 2;
  good.head_dim = 8;
  good.rotary_dim = 8;
  RopeAppend normed = good, odd = good;
  normed.qk_norm = true;
  odd.rotary_dim = 5;
  check_types({
      {good, {"bf16[T, 64]", "i32[T]"}, "bf16[T, 32]"},
      {normed, {"bf16[T, 64]", "i32[T]", "bf16[8]", "bf16[8]"}, "bf16[T, 32]"},
      {good, {"bf16[T, 60]", "i32[T]"}, "rope_append: qkv has 60 columns, the heads need 64"},
      {good,
       {"bf16[T, 64]", "i32[R]"},
       "rope_append: positions are i32[R], but the rows are those of bf16[T, 64]"},
      {normed, {"bf16[T, 64]", "i32[T]"}, "rope_append: 2 inputs given, takes 4"},
      {normed,
       {"bf16[T, 64]", "i32[T]", "bf16[8]", "bf16[16]"},
       "rope_append: k_norm is bf16[16], must have 8 elements"},
      {normed,
       {"bf16[T, 64]", "i32[T]", "i32[8]", "bf16[8]"},
       "rope_append: q_norm is i32[8], must be a float type"},
      {odd,
       {"bf16[T, 64]", "i32[T]"},
       "rope_append: rotary_dim 5 is not even and within head_dim 8"},
  });
}

}  // namespace
}  // namespace tokamak::op
