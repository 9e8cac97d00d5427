// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/floors.h"

#include <gtest/gtest.h>

#include "tokamak/api/build.h"

namespace tokamak::api {
namespace {

TEST(Floors, timed_choices_get_the_floor_that_the_rates_give) {
  auto device = device::open_device(Target::kCpu, 2).value();
  engine::Plan plan =
      build_engine("models/storyteller", *device, {.dummy_weights = true, .tune = false})
          .value()
          .plan;
  const DeviceRates rates{.read_bandwidth = 1e9, .peak_flops = 1e12};
  ASSERT_TRUE(add_floors(plan, rates, *device).ok());
  for (const engine::PlanStep& step : plan.steps) {
    for (const engine::PlanChoice& choice : step.choices)
      EXPECT_EQ(choice.floor_us, 0) << "what was not timed has no share";
  }
  for (engine::PlanStep& step : plan.steps) {
    for (engine::PlanChoice& choice : step.choices) choice.us = 1e6;
  }
  plan.steps[0].choices[0].floor_us = 7;
  ASSERT_TRUE(add_floors(plan, rates, *device).ok());
  EXPECT_EQ(plan.steps[0].choices[0].floor_us, 7) << "what the device said stays";
  // The head reads its whole table, which it shares with the embedding.
  const engine::PlanStep& head = plan.steps.back();
  EXPECT_DOUBLE_EQ(head.choices.front().floor_us, 8192.0 * 384 * 2 / 1e9 * 1e6);
  const engine::PlanChoice& many = head.choices.back();
  EXPECT_DOUBLE_EQ(many.floor_us,
                   1e6 * std::max(8192.0 * 384 * 2 / 1e9,
                                  2.0 * 8192 * 384 * static_cast<double>(many.max_tokens) / 1e12));
}

TEST(Floors, no_kernel_is_faster_than_its_floor) {
  auto device = device::open_device(Target::kCpu, 2).value();
  engine::Plan plan =
      build_engine("models/storyteller", *device, {.dummy_weights = true, .tune = false})
          .value()
          .plan;
  for (engine::PlanStep& step : plan.steps) {
    for (engine::PlanChoice& choice : step.choices) choice.us = 50;
  }
  ASSERT_TRUE(add_floors(plan, {.read_bandwidth = 1e6, .peak_flops = 1e6}, *device).ok());
  double best = 0;
  for (const engine::PlanStep& step : plan.steps) {
    for (const engine::PlanChoice& choice : step.choices)
      best = std::max(best, choice.share_of_floor());
  }
  EXPECT_DOUBLE_EQ(best, 1) << "the fastest sets the rate";
}

TEST(Floors, a_processors_rates_are_measured) {
  auto device = device::open_device(Target::kCpu, 1).value();
  const DeviceRates rates = measure_rates(*device, DType::kF32);
  EXPECT_GT(rates.read_bandwidth, 1e7);
  EXPECT_GT(rates.peak_flops, 1e9) << "16 a cycle at the least";
  EXPECT_LT(rates.peak_flops, 1e12) << "128 a cycle at 7 GHz at the most";
}

}  // namespace
}  // namespace tokamak::api
