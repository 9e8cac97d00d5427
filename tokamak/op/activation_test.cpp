// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/activation.h"

#include "tokamak/op/op_test.h"

namespace tokamak::op {
namespace {

const std::vector<float> kX = {-3, -1, -0.5f, 0, 0.5f, 1, 3};

TEST(Activation, values_are_those_of_the_formulas) {
  auto y = [](ActivationKind kind) { return run(Activation{.kind = kind}, {floats({1, 7}, kX)}); };
  expect_near(y(ActivationKind::kNone)[0].floats(), kX, 0);
  expect_near(y(ActivationKind::kRelu)[0].floats(), {0, 0, 0, 0, 0.5f, 1, 3}, 0);
  expect_near(
      y(ActivationKind::kSilu)[0].floats(),
      {-0.142277620f, -0.268941421f, -0.188770334f, 0, 0.311229666f, 0.731058579f, 2.857722380f});
  expect_near(
      y(ActivationKind::kGelu)[0].floats(),
      {-0.004049694f, -0.158655254f, -0.154268769f, 0, 0.345731231f, 0.841344746f, 2.995950306f});
  expect_near(
      y(ActivationKind::kGeluTanh)[0].floats(),
      {-0.003637392f, -0.158808009f, -0.154285990f, 0, 0.345714010f, 0.841191991f, 2.996362608f});
}

TEST(Activation, large_values_do_not_overflow) {
  for (ActivationKind kind :
       {ActivationKind::kSilu, ActivationKind::kGelu, ActivationKind::kGeluTanh})
    expect_near(run(Activation{.kind = kind}, {floats({1, 2}, {-200, 200})})[0].floats(), {0, 200});
}

TEST(GatedActivation, is_the_activated_first_half_times_the_second) {
  Tensor x = floats({2, 4}, {1, -1, 10, 20, 3, 0, 2, 7});
  expect_near(run(GatedActivation{.kind = ActivationKind::kSilu}, {x})[0].floats(),
              {7.31058579f, -5.37882842f, 5.71544476f, 0});
}

TEST(Activation, types) {
  check_types({
      {Activation{}, {"bf16[T, 4]"}, "bf16[T, 4]"},
      {Activation{}, {"f32[3]"}, "f32[3]"},
      {Activation{}, {"i32[T]"}, "activation: x is i32[T], must be a float type"},
      {Activation{}, {"f32[T]", "f32[T]"}, "activation: 2 inputs given, takes 1"},
      {GatedActivation{}, {"f16[R, 6]"}, "f16[R, 3]"},
      {GatedActivation{}, {"f32[T, 5]"}, "gated_activation: x has 5 columns, must be even"},
      {GatedActivation{}, {"f32[6]"}, "gated_activation: x is f32[6], must have 2 dimensions"},
      {GatedActivation{},
       {"f32[6, T]"},
       "gated_activation: x is f32[6, T], its columns must be constant"},
  });
}

}  // namespace
}  // namespace tokamak::op
