// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/weights.h"

#include <cmath>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tokamak/runtime/small_plan_test.h"

namespace tokamak::runtime {
namespace {

/// Tensors of the test, by name.
class GivenWeights : public WeightSource {
 public:
  Result<TensorView> find(const std::string& tensor, const Shape& expected) override {
    const TensorView view = tensors.at(tensor).view();
    if (view.shape != expected) return base::corrupt(tensor);
    return view;
  }
  std::map<std::string, Tensor> tensors;
};

Tensor random_tensor(Shape shape, DType dtype, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Tensor out(DType::kF32, std::move(shape));
  for (float& value : out.floats()) value = normal(random);
  return out.to(dtype);
}

/// A plan whose only weight is f32 [rows, columns], as it is stored.
engine::Plan plan_of(std::vector<WeightPart> parts, int64_t rows, int64_t columns) {
  engine::Plan plan;
  plan.values.push_back({.name = "w",
                         .kind = engine::PlanValueKind::kWeight,
                         .type = {DType::kF32, {rows, columns}}});
  plan.weights.push_back({.value = 0,
                          .layout = std::string(kernels::row_major_layout().name),
                          .bytes = rows * columns * 4,
                          .parts = std::move(parts)});
  return plan;
}

std::vector<float> load(const engine::Plan& plan, WeightSource& source) {
  auto device = device::open_device(Target::kCpu, 2).value();
  std::vector<float> arena(static_cast<size_t>(plan.weights[0].bytes / 4), NAN);
  engine::MemoryPlan memory;
  memory.weight_offsets = {0};
  memory.weight_bytes = plan.weights[0].bytes;
  load_weights(plan, memory, source, *device, arena.data()).value();
  return arena;
}

TEST(LoadWeights, EveryFormOfAPartOfEveryDtypeIsReadAsItIsStored) {
  // More rows than one block of the packer has, and not a multiple of it.
  constexpr int64_t kRows = 2 * 4096 + 37, kColumns = 24;
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (bool transposed : {false, true}) {
      for (bool normalize : {false, true}) {
        SCOPED_TRACE(fmt::format(
            "{} transposed {} normalized {}", tensor::dtype_name(dtype), transposed, normalize));
        GivenWeights source;
        source.tensors["first"] = random_tensor({5, kColumns}, dtype, 1);
        source.tensors["second"] =
            random_tensor(transposed ? Shape{kColumns, kRows} : Shape{kRows, kColumns}, dtype, 2);
        const std::vector<float> loaded = load(plan_of({{.tensor = "first", .rows = 5},
                                                        {.tensor = "second",
                                                         .rows = kRows,
                                                         .transposed = transposed,
                                                         .normalize_rows = normalize}},
                                                       5 + kRows,
                                                       kColumns),
                                               source);
        const Tensor first = source.tensors["first"].to(DType::kF32),
                     second = source.tensors["second"].to(DType::kF32);
        for (int64_t i = 0; i < 5 * kColumns; ++i)
          ASSERT_EQ(loaded[static_cast<size_t>(i)], first.floats()[static_cast<size_t>(i)]) << i;
        for (int64_t r = 0; r < kRows; ++r) {
          auto stored = [&](int64_t k) {
            return second
                .floats()[static_cast<size_t>(transposed ? k * kRows + r : r * kColumns + k)];
          };
          double squares = 0;
          for (int64_t k = 0; k < kColumns; ++k) squares += stored(k) * double{stored(k)};
          const double divisor = normalize ? std::sqrt(squares) : 1;
          for (int64_t k = 0; k < kColumns; ++k)
            ASSERT_NEAR(
                loaded[static_cast<size_t>((5 + r) * kColumns + k)], stored(k) / divisor, 1e-6)
                << "row " << r << " column " << k;
        }
      }
    }
  }
}

TEST(LoadWeights, PartsThatDoNotFillTheWeightAreRefused) {
  GivenWeights source;
  source.tensors["a"] = random_tensor({3, 8}, DType::kF32, 1);
  const engine::Plan plan = plan_of({{.tensor = "a", .rows = 3}}, 4, 8);
  auto device = device::open_device(Target::kCpu, 1).value();
  std::vector<float> arena(32);
  engine::MemoryPlan memory;
  memory.weight_offsets = {0};
  memory.weight_bytes = plan.weights[0].bytes;
  EXPECT_EQ(load_weights(plan, memory, source, *device, arena.data()).error().message,
            "weight 'w' needs 4 rows, its parts have 3");
}

}  // namespace
}  // namespace tokamak::runtime
