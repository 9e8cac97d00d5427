// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/elementwise.h"

#include "tokamak/op/op_test.h"

namespace tokamak::op {
namespace {

using testing::ElementsAre;

TEST(Elementwise, sums_and_products_take_a_whole_tensor_or_one_row) {
  Tensor a = floats({2, 2}, {1, 2, 3, 4}), b = floats({2, 2}, {10, 20, 30, 40});
  Tensor row = floats({2}, {5, -1});
  EXPECT_THAT(run(Add{}, {a, b})[0].floats(), ElementsAre(11, 22, 33, 44));
  EXPECT_THAT(run(Add{}, {a, row})[0].floats(), ElementsAre(6, 1, 8, 3));
  EXPECT_THAT(run(Mul{}, {a, b})[0].floats(), ElementsAre(10, 40, 90, 160));
  EXPECT_THAT(run(Mul{}, {a, row})[0].floats(), ElementsAre(5, -2, 15, -4));
}

TEST(Elementwise, scale_softcap_and_slice) {
  Tensor x = floats({2, 3}, {1, -2, 3, 60, -600, 0});
  EXPECT_THAT(run(Scale{.factor = 0.5f}, {x})[0].floats(),
              ElementsAre(0.5f, -1, 1.5f, 30, -300, 0));
  expect_near(run(Softcap{.cap = 30}, {x})[0].floats(),
              {0.999629846f, -1.997042090f, 2.990039874f, 28.920827f, -30, 0});
  EXPECT_THAT(run(Slice{.begin = 1, .size = 2}, {x})[0].floats(), ElementsAre(-2, 3, -600, 0));
  EXPECT_THAT(run(Slice{.begin = 0, .size = 1}, {x})[0].floats(), ElementsAre(1, 60));
}

TEST(Elementwise, types) {
  check_types({
      {Add{}, {"bf16[T, 4]", "bf16[T, 4]"}, "bf16[T, 4]"},
      {Add{}, {"bf16[T, 4]", "bf16[4]"}, "bf16[T, 4]"},
      {Add{}, {"bf16[T, 4]", "f32[T, 4]"}, "add: a is bf16[T, 4], but b is f32[T, 4]"},
      {Add{}, {"bf16[T, 4]", "f32[4]"}, "add: a is bf16[T, 4], but b is f32[4]"},
      {Add{}, {"f32[4]", "f32[T, 4]"}, "add: a is f32[4], but b is f32[T, 4]"},
      {Add{}, {"f32[T, 4]", "f32[R, 4]"}, "add: a is f32[T, 4], but b is f32[R, 4]"},
      {Mul{}, {"f32[T, 4]", "f32[3]"}, "mul: a is f32[T, 4], but b is f32[3]"},
      {Mul{}, {"i32[T]", "i32[T]"}, "mul: a is i32[T], must be a float type"},
      {Mul{}, {"f32[T, 4]"}, "mul: 1 inputs given, takes 2"},
      {Scale{}, {"f32[T, 4]"}, "f32[T, 4]"},
      {Scale{.factor = INFINITY}, {"f32[T, 4]"}, "scale: factor is inf, must be finite"},
      {Softcap{.cap = 30}, {"f32[R, 4]"}, "f32[R, 4]"},
      {Softcap{}, {"f32[R, 4]"}, "softcap: cap is 0, must be positive"},
      {Slice{.begin = 2, .size = 2}, {"f32[T, 4]"}, "f32[T, 2]"},
      {Slice{.begin = 3, .size = 2}, {"f32[T, 4]"}, "slice: 2 columns from 3 of x, which has 4"},
      {Slice{.begin = -1, .size = 2}, {"f32[T, 4]"}, "slice: 2 columns from -1 of x, which has 4"},
      {Slice{}, {"f32[T, 4]"}, "slice: 0 columns from 0 of x, which has 4"},
      {Slice{.begin = 1, .size = INT64_MAX},
       {"f32[T, 4]"},
       "slice: 9223372036854775807 columns from 1 of x, which has 4"},
  });
}

}  // namespace
}  // namespace tokamak::op
