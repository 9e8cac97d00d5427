// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/rope.h"

#include <cmath>
#include <random>

#include "tokamak/op/op_test.h"

namespace tokamak::op {
namespace {

std::vector<float> random_values(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& value : out) value = normal(engine);
  return out;
}

Rope rope(int64_t head_dim, RotarySettings settings) {
  Rope out;
  static_cast<RotarySettings&>(out) = std::move(settings);
  out.head_dim = head_dim;
  return out;
}

void expect_frequencies(const RotarySettings& settings, const std::vector<float>& expected) {
  std::vector<float> got = rotary_frequencies(settings);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i] / expected[i], 1, 2e-6) << base::enum_name(settings.scaling) << " " << i;
}

// Computed in double precision from the formulas of the Hugging Face implementations.
TEST(RotaryFrequencies, are_those_of_the_published_scalings) {
  expect_frequencies({.rotary_dim = 8}, {1, 0.1f, 0.01f, 0.001f});
  expect_frequencies({.rotary_dim = 8, .scaling = RopeScaling::kLinear, .factor = 4},
                     {0.25f, 0.025f, 0.0025f, 0.00025f});
  expect_frequencies({.rotary_dim = 16,
                      .theta = 500000,
                      .scaling = RopeScaling::kLlama3,
                      .factor = 8,
                      .low_freq_factor = 1,
                      .high_freq_factor = 4,
                      .original_max_positions = 8192},
                     {1,
                      1.939227447e-01f,
                      3.760603093e-02f,
                      7.292664737e-03f,
                      5.248461610e-04f,
                      3.428102196e-05f,
                      6.647869871e-06f,
                      1.289173172e-06f});
  RotarySettings yarn{
      .rotary_dim = 16, .scaling = RopeScaling::kYarn, .factor = 4, .original_max_positions = 2048};
  expect_frequencies(yarn,
                     {1,
                      3.162277660e-01f,
                      1.000000000e-01f,
                      2.569350599e-02f,
                      6.250000000e-03f,
                      1.383496476e-03f,
                      2.500000000e-04f,
                      7.905694150e-05f});
  yarn.theta = 150000;
  yarn.factor = 32;
  yarn.truncate = false;
  yarn.original_max_positions = 4096;
  expect_frequencies(yarn,
                     {1,
                      2.254180002e-01f,
                      5.081327482e-02f,
                      6.794959490e-03f,
                      4.564839192e-04f,
                      1.818833668e-05f,
                      4.099978482e-06f,
                      9.242089502e-07f});
  expect_frequencies({.rotary_dim = 8,
                      .scaling = RopeScaling::kLongRope,
                      .factor = 32,
                      .original_max_positions = 4096,
                      .factors = {1, 1.25f, 2.5f, 30}},
                     {1, 0.08f, 0.004f, 3.333333333e-05f});
}

TEST(RotaryFrequencies, of_long_sequences_are_divided_by_factors_of_their_own) {
  RotarySettings settings{.rotary_dim = 4,
                          .theta = 100,
                          .scaling = RopeScaling::kLongRope,
                          .original_max_positions = 8,
                          .factors = {1, 2},
                          .long_factors = {4, 5}};
  const RotaryFrequencies frequencies(settings);
  auto expect = [](std::span<const float> got, float first, float second) {
    EXPECT_NEAR(got[0], first, 1e-7);
    EXPECT_NEAR(got[1], second, 1e-7);
  };
  expect(frequencies.at(3), 1, 0.05f);
  expect(frequencies.at(in_long_sequence(3)), 0.25f, 0.02f);
  settings.long_factors.clear();
  expect(RotaryFrequencies(settings).at(in_long_sequence(3)), 1, 0.05f);
  for (int32_t position : {0, 1, INT32_MAX}) {
    EXPECT_TRUE(is_in_long_sequence(in_long_sequence(position)));
    EXPECT_EQ(plain_position(in_long_sequence(position)), position);
    EXPECT_EQ(plain_position(position), position);
  }
}

TEST(Rope, turns_a_position_of_a_long_sequence_by_its_own_frequency) {
  RotarySettings settings{.rotary_dim = 2,
                          .scaling = RopeScaling::kLongRope,
                          .original_max_positions = 8,
                          .factors = {2},
                          .long_factors = {5}};
  Tensor x = floats({3, 2}, {1, 0, 1, 0, 1, 0});
  auto angle = [](float a) { return std::pair(std::cos(a), std::sin(a)); };
  auto [c0, s0] = angle(3.0f / 2);
  auto [c1, s1] = angle(3.0f / 5);
  expect_near(
      run(rope(2, settings), {x, ints({3, in_long_sequence(3), in_long_sequence(0)})})[0].floats(),
      {c0, s0, c1, s1, 1, 0});
}

TEST(Rope, turns_pairs_by_position_times_frequency) {
  // One pair that turns by one radian a position, in both layouts, and two elements that stay.
  Tensor x = floats({2, 4}, {1, 0, 5, 6, 0, 2, 7, 8});
  float c = std::cos(3.0f), s = std::sin(3.0f);
  expect_near(run(rope(4, {.rotary_dim = 2}), {x, ints({0, 3})})[0].floats(),
              {1, 0, 5, 6, -2 * s, 2 * c, 7, 8});
  Tensor y = floats({1, 4}, {1, 2, 3, 4});
  float c2 = std::cos(0.03f), s2 = std::sin(0.03f);
  expect_near(run(rope(4, {.rotary_dim = 4}), {y, ints({3})})[0].floats(),
              {c - 3 * s, 2 * c2 - 4 * s2, 3 * c + s, 4 * c2 + 2 * s2});
  expect_near(run(rope(4, {.rotary_dim = 4, .interleaved = true}), {y, ints({3})})[0].floats(),
              {c - 2 * s, 2 * c + s, 3 * c2 - 4 * s2, 4 * c2 + 3 * s2});
}

TEST(Rope, keeps_lengths_and_products_depend_on_the_distance_only) {
  constexpr int64_t kDim = 8;
  Tensor q = floats({1, kDim}, random_values(kDim, 1)),
         k = floats({1, kDim}, random_values(kDim, 2));
  auto rotated = [&](const Tensor& x, int32_t position) {
    return run(rope(kDim, {.rotary_dim = kDim}), {x, ints({position})})[0];
  };
  auto product = [](const Tensor& a, const Tensor& b) {
    double sum = 0;
    for (size_t i = 0; i < a.floats().size(); ++i)
      sum += static_cast<double>(a.floats()[i]) * b.floats()[i];
    return sum;
  };
  EXPECT_NEAR(product(rotated(q, 77), rotated(q, 77)), product(q, q), 1e-5);
  EXPECT_NEAR(
      product(rotated(q, 9), rotated(k, 4)), product(rotated(q, 105), rotated(k, 100)), 1e-4);
  expect_near(rotated(q, 0).floats(), random_values(kDim, 1), 0);
}

TEST(Rope, each_head_turns_alike_and_the_attention_factor_scales) {
  std::vector<float> head = random_values(4, 3), two = head;
  two.insert(two.end(), head.begin(), head.end());
  RotarySettings settings{.rotary_dim = 4, .attention_factor = 1.5f};
  Tensor one = run(rope(4, settings), {floats({1, 4}, head), ints({5})})[0];
  Tensor both = run(rope(4, settings), {floats({1, 8}, two), ints({5})})[0];
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(both.floats()[i], one.floats()[i % 4]);
  settings.attention_factor = 1;
  Tensor plain = run(rope(4, settings), {floats({1, 4}, head), ints({5})})[0];
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(one.floats()[i], 1.5f * plain.floats()[i], 1e-6);
}

TEST(Rope, types) {
  const std::vector<std::string> in = {"bf16[T, 8]", "i32[T]"};
  check_types({
      {rope(4, {.rotary_dim = 4}), in, "bf16[T, 8]"},
      {rope(4, {}), in, "bf16[T, 8]"},
      {rope(4, {.rotary_dim = 3}), in, "rope: rotary_dim 3 is not even and within head_dim 4"},
      {rope(4, {.rotary_dim = 6}), in, "rope: rotary_dim 6 is not even and within head_dim 4"},
      {rope(3, {.rotary_dim = 2}), in, "rope: head_dim 3 does not divide the 8 columns of x"},
      {rope(0, {}), in, "rope: head_dim 0 does not divide the 8 columns of x"},
      {rope(4, {}),
       {"bf16[T, 8]", "i32[R]"},
       "rope: positions are i32[R], but the rows are those of bf16[T, 8]"},
      {rope(4, {}),
       {"bf16[T, 8]", "i64[T]"},
       "rope: positions is i64[T], must be i32 of one dimension"},
      {rope(4, {.theta = 0}),
       in,
       "rope: theta 0, factor 1 and attention_factor 1 must be positive"},
      {rope(4, {.rotary_dim = 4, .scaling = RopeScaling::kYarn}),
       in,
       "rope: yarn scaling needs original_max_positions"},
      {rope(4,
            {.rotary_dim = 4,
             .scaling = RopeScaling::kLlama3,
             .low_freq_factor = 4,
             .high_freq_factor = 4,
             .original_max_positions = 64}),
       in,
       "rope: llama3 scaling needs 0 < low_freq_factor < high_freq_factor, has 4 and 4"},
      {rope(4,
            {.rotary_dim = 4,
             .theta = 1,
             .scaling = RopeScaling::kYarn,
             .original_max_positions = 64}),
       in,
       "rope: yarn scaling needs positive beta_fast and beta_slow, and theta above 1, has 32, 1 "
       "and 1"},
      {rope(4, {.rotary_dim = 4, .scaling = RopeScaling::kLongRope, .factors = {1}}),
       in,
       "rope: longrope has 1 factors for 2 pairs"},
      {rope(4, {.rotary_dim = 4, .scaling = RopeScaling::kLongRope, .factors = {1, 0}}),
       in,
       "rope: longrope has a factor that is not positive"},
      {rope(4,
            {.rotary_dim = 4,
             .scaling = RopeScaling::kLongRope,
             .factors = {1, 1},
             .long_factors = {1, 2}}),
       in,
       "rope: longrope by length needs original_max_positions"},
      {rope(4,
            {.rotary_dim = 4,
             .scaling = RopeScaling::kLongRope,
             .original_max_positions = 8,
             .factors = {1, 1},
             .long_factors = {1}}),
       in,
       "rope: longrope has 1 factors for 2 pairs"},
  });
}

}  // namespace
}  // namespace tokamak::op
