// SPDX-License-Identifier: Apache-2.0
// The ops on rows and elements over every tactic that claims them; matmul and attention have files
// of their own beside this one.
#include <cstdlib>
#include <filesystem>

#include "tokamak/kernels/conformance_case.h"
#include "tokamak/op/activation.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/op/gather.h"
#include "tokamak/op/norm.h"
#include "tokamak/op/rope.h"

namespace tokamak::kernels::conformance {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};
constexpr int64_t kTokenCounts[] = {1, 2, 3, 5, 16, 17, 33, 64, 129};
constexpr int64_t kColumnCounts[] = {1, 7, 8, 31, 64, 257};
constexpr op::ActivationKind kActivations[] = {op::ActivationKind::kNone,
                                               op::ActivationKind::kRelu,
                                               op::ActivationKind::kSilu,
                                               op::ActivationKind::kGelu,
                                               op::ActivationKind::kGeluTanh};

TensorType rows_of(DType dtype, int64_t columns) {
  return {dtype, {tensor::kTokens, columns}};
}

template <class F>
void for_each_shape(F f) {
  for (DType dtype : kDTypes) {
    for (int64_t tokens : kTokenCounts) {
      for (int64_t columns : kColumnCounts) f(dtype, tokens, columns);
    }
  }
}

/// Ops that only passes for one target make.
bool is_for_another(std::string_view op, Target target) {
  return target != Target::kCuda && (op == "norm_matmul" || op == "rope_attend");
}

TEST(Conformance, EveryOpOfTheTableHasATacticOnEachTarget) {
  for (Target target : {Target::kCpu, Target::kCuda}) {
    std::set<std::string_view> covered;
    std::string infix = fmt::format("_{}_", base::enum_name(target));
    for (const Tactic* tactic : all_tactics()) {
      if (tactic->target == target)
        covered.insert(tactic->name.substr(0, tactic->name.find(infix)));
    }
    for (const op::OpInfo* info : op::all_ops()) {
      EXPECT_NE(covered.contains(info->name), is_for_another(info->name, target))
          << info->name << " " << infix;
    }
  }
}

TEST(Conformance, AddAndMulOfEqualShapesAndOfARow) {
  for_each_shape([](DType dtype, int64_t tokens, int64_t columns) {
    TensorType x = rows_of(dtype, columns), row{dtype, {columns}};
    check({.op = op::Add{}, .inputs = {x, x}, .tokens = tokens});
    check({.op = op::Add{}, .inputs = {x, row}, .tokens = tokens});
    check({.op = op::Mul{}, .inputs = {x, x}, .tokens = tokens});
    check({.op = op::Mul{}, .inputs = {x, row}, .tokens = tokens});
  });
}

TEST(Conformance, ScaleSoftcapAndActivations) {
  for_each_shape([](DType dtype, int64_t tokens, int64_t columns) {
    TensorType x = rows_of(dtype, columns), wide = rows_of(dtype, 2 * columns);
    check({.op = op::Scale{.factor = -1.7f}, .inputs = {x}, .tokens = tokens});
    check({.op = op::Softcap{.cap = 5.0f}, .inputs = {x}, .tokens = tokens});
    for (op::ActivationKind kind : kActivations) {
      check({.op = op::Activation{.kind = kind}, .inputs = {x}, .tokens = tokens});
      check({.op = op::GatedActivation{.kind = kind}, .inputs = {wide}, .tokens = tokens});
    }
  });
  check({.op = op::Softcap{.cap = 30.0f}, .inputs = {rows_of(DType::kF32, 32003)}, .tokens = 3});
}

TEST(Conformance, Norms) {
  for_each_shape([](DType dtype, int64_t tokens, int64_t columns) {
    for (DType weight_dtype : {dtype, DType::kF32}) {
      TensorType x = rows_of(dtype, columns), w{weight_dtype, {columns}};
      check({.op = op::RmsNorm{}, .inputs = {x, w}, .tokens = tokens});
      check({.op = op::RmsNorm{.eps = 1e-3f, .unit_offset = true},
             .inputs = {x, w},
             .tokens = tokens});
      check({.op = op::AddRmsNorm{}, .inputs = {x, x, w}, .tokens = tokens});
      check({.op = op::AddRmsNorm{.unit_offset = true}, .inputs = {x, x, w}, .tokens = tokens});
      if (columns == 1) continue;  // A single element less its mean is nothing but rounding.
      check({.op = op::LayerNorm{}, .inputs = {x, w}, .tokens = tokens});
      check({.op = op::LayerNorm{.bias = true}, .inputs = {x, w, w}, .tokens = tokens});
    }
  });
}

TEST(Conformance, NormsOfGroups) {
  for (DType dtype : kDTypes) {
    TensorType x = rows_of(dtype, 192), head{dtype, {64}}, whole{dtype, {192}};
    for (int64_t tokens : {1, 5, 33}) {
      check({.op = op::RmsNorm{}, .inputs = {x, head}, .tokens = tokens});
      check({.op = op::RmsNorm{.group = 32}, .inputs = {x, head}, .tokens = tokens});
      check({.op = op::RmsNorm{.group = 48}, .inputs = {x, whole}, .tokens = tokens});
      check({.op = op::LayerNorm{.bias = true, .group = 24},
             .inputs = {x, whole, whole},
             .tokens = tokens});
      check({.op = op::LayerNorm{.group = 64}, .inputs = {x, head}, .tokens = tokens});
    }
  }
}

TEST(Conformance, Rope) {
  for (DType dtype : kDTypes) {
    for (int64_t tokens : {1, 3, 17, 64}) {
      for (bool interleaved : {false, true}) {
        for (int64_t rotary_dim : {0, 6, 32, 64}) {
          op::Rope rope;
          rope.head_dim = 64;
          rope.rotary_dim = rotary_dim;
          rope.interleaved = interleaved;
          rope.attention_factor = 1.25f;
          check({.op = rope,
                 .inputs = {rows_of(dtype, 5 * 64), {DType::kI32, {tensor::kTokens}}},
                 .tokens = tokens,
                 .integer = [](size_t, int64_t i) {
                   return static_cast<int32_t>((i * 7919 + 1) % 1'000'000);
                 }});
        }
      }
    }
  }
}

TEST(Conformance, RopeOfLongSequencesAndOthersInOneBatch) {
  for (DType dtype : kDTypes) {
    op::Rope rope;
    rope.head_dim = 80;
    rope.rotary_dim = 60;
    rope.scaling = op::RopeScaling::kLongRope;
    rope.original_max_positions = 4096;
    rope.attention_factor = 1.19f;
    for (int i = 0; i < 30; ++i) {
      rope.factors.push_back(1 + 0.05f * static_cast<float>(i));
      rope.long_factors.push_back(1.5f + 2 * static_cast<float>(i));
    }
    check({.op = rope,
           .inputs = {rows_of(dtype, 3 * 80), {DType::kI32, {tensor::kTokens}}},
           .tokens = 17,
           .integer = [](size_t, int64_t i) {
             auto position = static_cast<int32_t>((i * 7919 + 1) % 131'072);
             return i % 2 ? op::in_long_sequence(position) : position;
           }});
  }
}

TEST(Conformance, GathersAndSlices) {
  for_each_shape([](DType dtype, int64_t tokens, int64_t columns) {
    auto ids = [](size_t, int64_t i) { return static_cast<int32_t>(i * 37 % 99); };
    TensorType index{DType::kI32, {tensor::kTokens}}, table{dtype, {101, columns}};
    for (bool weight : {false, true}) {
      check({.op = op::Embedding{.offset = 2},
             .inputs = {index, table},
             .weights = {false, weight},
             .tokens = tokens,
             .integer = ids});
    }
    check({.op = op::SelectRows{},
           .inputs = {rows_of(dtype, columns), {DType::kI32, {tensor::kRows}}},
           .tokens = tokens,
           .rows = 3,
           .integer = [tokens](size_t, int64_t i) {
             return static_cast<int32_t>((tokens - 1) * i / 2);
           }});
    check({.op = op::Slice{.begin = columns / 3, .size = (columns + 1) / 2},
           .inputs = {rows_of(dtype, columns)},
           .tokens = tokens});
  });
}

/// Says at the end how much was run, so that a suite that shrank unnoticed shows.
class Count : public testing::Environment {
 public:
  void TearDown() override { printf("%ld kernel runs\n", static_cast<long>(num_runs())); }
};
[[maybe_unused]] const auto* const kCount = testing::AddGlobalTestEnvironment(new Count);

// The kernels of older processors, as far as this one can play them.
class OlderProcessor : public testing::TestWithParam<const char*> {};

TEST_P(OlderProcessor, PassesTheWholeSuite) {
  if (std::getenv("TOKAMAK_CPU_ISA") || std::getenv("TOKAMAK_CONFORMANCE_TARGETS"))
    GTEST_SKIP() << "already within a limit";
  std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  // The whole suite, also where this program plays one share of it.
  std::string command = fmt::format(
      "env -u GTEST_TOTAL_SHARDS -u GTEST_SHARD_INDEX TOKAMAK_CONFORMANCE_TARGETS=cpu "
      "TOKAMAK_CPU_ISA={} '{}' --gtest_brief=1 --gtest_filter='{}'",
      GetParam(),
      program,
      "*Conformance*");
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

INSTANTIATE_TEST_SUITE_P(Isa,
                         OlderProcessor,
                         testing::Values("baseline", "avx2", "avx512"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tokamak::kernels::conformance
