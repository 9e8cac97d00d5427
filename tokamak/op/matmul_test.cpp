// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/matmul.h"

#include "tokamak/op/op_test.h"

namespace tokamak::op {
namespace {

using testing::ElementsAre;

const Tensor& x() {
  static const Tensor value = floats({2, 3}, {1, 2, 3, -1, 0, 2});
  return value;
}
const Tensor& w() {  // [3, 2]
  static const Tensor value = floats({3, 2}, {1, 4, 2, -5, 3, 6});
  return value;
}

TEST(MatMul, both_forms_of_the_weight) {
  EXPECT_THAT(run(MatMul{}, {x(), w()})[0].floats(), ElementsAre(14, 12, 5, 8));
  Tensor rows = floats({2, 3}, {1, 2, 3, 4, -5, 6});
  EXPECT_THAT(run(MatMul{.transposed = true}, {x(), rows})[0].floats(), ElementsAre(14, 12, 5, 8));
}

TEST(MatMul, the_epilogue_is_bias_then_activation_then_residual) {
  Tensor bias = floats({2}, {-20, 1}), residual = floats({2, 2}, {100, 200, 300, 400});
  MatMul m{.bias = true, .residual = true, .activation = ActivationKind::kRelu};
  EXPECT_THAT(run(m, {x(), w(), bias, residual})[0].floats(), ElementsAre(100, 213, 300, 409));
  m.bias = false;
  EXPECT_THAT(run(m, {x(), w(), residual})[0].floats(), ElementsAre(114, 212, 305, 408));
}

TEST(MatMul, gated_multiplies_the_activated_first_half_by_the_second) {
  MatMul m{.bias = true, .residual = true, .activation = ActivationKind::kRelu, .gated = true};
  Tensor bias = floats({2}, {-6, 1}), residual = floats({2, 1}, {1000, 2000});
  EXPECT_THAT(run(m, {x(), w(), bias, residual})[0].floats(), ElementsAre(8 * 13 + 1000, 2000));
}

TEST(MatMul, sums_are_exact_where_fp32_would_lose_the_small_terms) {
  Tensor a = floats({1, 3}, {1e8f, 1, -1e8f}), ones = floats({3, 1}, {1, 1, 1});
  EXPECT_THAT(run(MatMul{}, {a, ones})[0].floats(), ElementsAre(1));
}

TEST(MatMul, types) {
  MatMul all{.transposed = true, .bias = true, .residual = true, .gated = true};
  check_types({
      {MatMul{}, {"bf16[T, 4]", "bf16[4, 8]"}, "bf16[T, 8]"},
      {MatMul{.transposed = true, .float_output = true}, {"bf16[R, 4]", "bf16[8, 4]"}, "f32[R, 8]"},
      {all, {"bf16[T, 4]", "bf16[8, 4]", "bf16[8]", "bf16[T, 4]"}, "bf16[T, 4]"},
      {all, {"bf16[T, 4]", "bf16[8, 4]", "bf16[8]"}, "matmul: 3 inputs given, takes 4"},
      {MatMul{}, {"bf16[T, 4]", "bf16[8, 4]"}, "matmul: x has 4 columns, but w takes 8"},
      {MatMul{.transposed = true},
       {"f32[T, 4]", "f32[4, 8]"},
       "matmul: x has 4 columns, but w takes 8"},
      {MatMul{}, {"f32[T, 4]", "f32[T, 8]"}, "matmul: w has a symbolic shape: f32[T, 8]"},
      {MatMul{}, {"f32[4]", "f32[4, 8]"}, "matmul: x is f32[4], must have 2 dimensions"},
      {MatMul{}, {"f32[T, 4]", "i8[4, 8]"}, "matmul: w is i8[4, 8], must be a float type"},
      {MatMul{.gated = true},
       {"f32[T, 4]", "f32[4, 7]"},
       "matmul: gated, but w has 7 outputs, an odd number"},
      {MatMul{.bias = true},
       {"f32[T, 4]", "f32[4, 8]", "f32[4]"},
       "matmul: bias is f32[4], but w has 8 outputs"},
      {MatMul{.bias = true},
       {"f32[T, 4]", "f32[4, 8]", "i32[8]"},
       "matmul: bias is i32[8], must be a float type"},
      {MatMul{.residual = true, .float_output = true},
       {"bf16[T, 4]", "bf16[4, 8]", "bf16[T, 8]"},
       "matmul: residual is bf16[T, 8], but y is f32[T, 8]"},
  });
}

}  // namespace
}  // namespace tokamak::op
