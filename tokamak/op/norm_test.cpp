// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/norm.h"

#include <cmath>

#include "tokamak/op/op_test.h"

namespace tokamak::op {
namespace {

TEST(RmsNorm, divides_by_the_root_of_the_mean_square) {
  Tensor x = floats({2, 2}, {3, 4, 0, 0}), w = floats({2}, {1, 10});
  float root = std::sqrt(12.5f);
  expect_near(run(RmsNorm{.eps = 0}, {floats({1, 2}, {3, 4}), w})[0].floats(),
              {3 / root, 40 / root});
  expect_near(run(RmsNorm{.eps = 1}, {x, w})[0].floats(),
              {3 / std::sqrt(13.5f), 40 / std::sqrt(13.5f), 0, 0});
  expect_near(run(RmsNorm{.eps = 0, .unit_offset = true}, {floats({1, 2}, {3, 4}), w})[0].floats(),
              {6 / root, 44 / root});
}

TEST(RmsNorm, a_short_weight_norms_each_head_and_a_group_each_part) {
  Tensor x = floats({1, 4}, {3, 4, 6, 8});
  float root = std::sqrt(12.5f);
  std::vector<float> heads = {3 / root, 40 / root, 3 / root, 40 / root};
  expect_near(run(RmsNorm{.eps = 0}, {x, floats({2}, {1, 10})})[0].floats(), heads);
  expect_near(run(RmsNorm{.eps = 0, .group = 2}, {x, floats({4}, {1, 10, 1, 10})})[0].floats(),
              heads);
}

TEST(AddRmsNorm, is_the_norm_of_the_sum_and_the_sum) {
  Tensor x = floats({1, 2}, {1, 1}), r = floats({1, 2}, {2, 3}), w = floats({2}, {1, 10});
  auto out = run(AddRmsNorm{.eps = 0}, {x, r, w});
  float root = std::sqrt(12.5f);
  expect_near(out[0].floats(), {3 / root, 40 / root});
  expect_near(out[1].floats(), {3, 4}, 0);
}

TEST(LayerNorm, subtracts_the_mean_and_divides_by_the_deviation) {
  Tensor x = floats({1, 4}, {1, 3, 100, 104}), w = floats({4}, {1, 2, 1, 2});
  Tensor b = floats({4}, {0, 1, 0, 1});
  expect_near(run(LayerNorm{.eps = 0, .bias = true, .group = 2}, {x, w, b})[0].floats(),
              {-1, 3, -1, 3});
  float deviation = std::sqrt((51 * 51 + 49 * 49 + 48 * 48 + 52 * 52) / 4.0f);
  expect_near(run(LayerNorm{}, {x, floats({4}, {1, 1, 1, 1})})[0].floats(),
              {-51 / deviation, -49 / deviation, 48 / deviation, 52 / deviation});
}

TEST(LayerNorm, a_large_mean_does_not_cancel) {
  Tensor x = floats({1, 2}, {1e6f + 1, 1e6f - 1});
  expect_near(run(LayerNorm{.eps = 0}, {x, floats({2}, {1, 1})})[0].floats(), {1, -1});
}

TEST(Norm, types) {
  check_types({
      {RmsNorm{}, {"bf16[T, 8]", "bf16[8]"}, "bf16[T, 8]"},
      {RmsNorm{}, {"bf16[T, 8]", "bf16[4]"}, "bf16[T, 8]"},
      {RmsNorm{},
       {"f32[T, 8]", "f32[3]"},
       "rms_norm: weight has 3 elements, which do not divide the 8 columns of x"},
      {RmsNorm{},
       {"f32[T, 8]", "f32[0]"},
       "rms_norm: weight has 0 elements, which do not divide the 8 columns of x"},
      {RmsNorm{}, {"f32[T, 8]", "f32[T]"}, "rms_norm: weight is f32[T], must have a constant size"},
      {RmsNorm{}, {"f32[T, 8]", "i32[8]"}, "rms_norm: weight is i32[8], must be a float type"},
      {RmsNorm{.group = 3}, {"f32[T, 8]", "f32[8]"}, "rms_norm: group 3 does not divide weight 8"},
      {RmsNorm{.eps = -1},
       {"f32[T, 8]", "f32[8]"},
       "rms_norm: eps is -1, must be finite and not negative"},
      {RmsNorm{}, {"f32[8]", "f32[8]"}, "rms_norm: x is f32[8], must have 2 dimensions"},
      {AddRmsNorm{}, {"f32[T, 8]", "f32[T, 8]", "f32[8]"}, "f32[T, 8], f32[T, 8]"},
      {AddRmsNorm{},
       {"f32[T, 8]", "f32[8]", "f32[8]"},
       "add_rms_norm: x is f32[T, 8], but residual is f32[8]"},
      {LayerNorm{.bias = true}, {"f32[T, 8]", "f32[8]", "f32[8]"}, "f32[T, 8]"},
      {LayerNorm{.bias = true},
       {"f32[T, 8]", "f32[8]", "f32[4]"},
       "layer_norm: weight is f32[8], but bias is f32[4]"},
      {LayerNorm{}, {"f32[T, 8]", "f32[8]", "f32[8]"}, "layer_norm: 3 inputs given, takes 2"},
  });
}

}  // namespace
}  // namespace tokamak::op
