// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/conformance_case.h"
#include "tokamak/op/matmul.h"

namespace tokamak::kernels::conformance {
namespace {

struct MatMulShape {
  int64_t depth, outputs;
};

void check_matmul(op::MatMul matmul,
                  DType x_dtype,
                  DType w_dtype,
                  int64_t tokens,
                  MatMulShape shape,
                  bool weight = true) {
  auto [depth, outputs] = shape;
  TensorType x{x_dtype, {tensor::kTokens, depth}};
  TensorType w{
      w_dtype,
      matmul.transposed ? std::vector<Dim>{outputs, depth} : std::vector<Dim>{depth, outputs}};
  std::vector<TensorType> inputs = {x, w};
  std::vector<bool> weights = {false, weight};
  if (matmul.bias) {
    inputs.push_back({w_dtype, {outputs}});
    weights.push_back(weight);
  }
  if (matmul.residual) {
    DType y = matmul.float_output ? DType::kF32 : x_dtype;
    inputs.push_back({y, {tensor::kTokens, matmul.gated ? outputs / 2 : outputs}});
  }
  check({.op = matmul, .inputs = inputs, .weights = weights, .tokens = tokens});
}

/// The matmul of a norm of x, whose weight comes last.
void check_norm_matmul(const op::MatMul& matmul,
                       op::RmsNorm norm,
                       DType dtype,
                       DType norm_dtype,
                       int64_t tokens,
                       MatMulShape shape) {
  auto [depth, outputs] = shape;
  std::vector<TensorType> inputs = {{dtype, {tensor::kTokens, depth}}, {dtype, {outputs, depth}}};
  std::vector<bool> weights = {false, true};
  if (matmul.bias) {
    inputs.push_back({dtype, {outputs}});
    weights.push_back(true);
  }
  if (matmul.residual) {
    inputs.push_back({dtype, {tensor::kTokens, matmul.gated ? outputs / 2 : outputs}});
    weights.push_back(false);
  }
  inputs.push_back({norm_dtype, {depth}});
  weights.push_back(true);
  check({.op = op::NormMatMul(norm, matmul),
         .inputs = inputs,
         .weights = weights,
         .tokens = tokens,
         .bf16_tolerance = 8e-3,  // The normed x is rounded.
         .targets = {Target::kCuda}});
}

std::vector<int64_t> token_grid() {
  std::vector<int64_t> counts;
  for (int64_t t = 1; t <= 17; ++t) counts.push_back(t);
  for (int64_t t : {31, 32, 33, 63, 64, 65, 127, 128, 129}) counts.push_back(t);
  return counts;
}

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

TEST(MatMulConformance, AnyNumberOfTokens) {
  for (DType dtype : kDTypes) {
    for (int64_t tokens : token_grid()) {
      check_matmul({.transposed = true}, dtype, dtype, tokens, {70, 96});
      check_matmul({.transposed = true}, dtype, dtype, tokens, {129, 65});
    }
  }
}

TEST(MatMulConformance, OddDepthsAndWidths) {
  for (DType dtype : kDTypes) {
    for (int64_t depth : {1, 2, 3, 7, 8, 9, 63, 64, 65, 257}) {
      for (int64_t outputs : {1, 15, 16, 17, 31, 32, 33, 100}) {
        for (int64_t tokens : {1, 2, 13})
          check_matmul({.transposed = true}, dtype, dtype, tokens, {depth, outputs});
      }
    }
    check_matmul({.transposed = true, .float_output = true}, dtype, dtype, 2, {64, 32003});
    check_matmul({.transposed = true}, dtype, dtype, 9, {2051, 130});
  }
}

TEST(MatMulConformance, NormedInput) {
  op::MatMul plain{.transposed = true}, full = plain, gated = plain;
  full.bias = full.residual = true;
  gated.gated = true;
  gated.activation = op::ActivationKind::kSilu;
  for (const op::MatMul& matmul : {plain, full, gated}) {
    for (int64_t tokens : {1, 2, 3, 8, 9, 33}) {
      for (MatMulShape shape : {MatMulShape{64, 96}, {200, 160}, {2048, 64}, {4160, 272}}) {
        for (DType dtype : kDTypes) {
          check_norm_matmul(matmul, {.eps = 1e-5f}, dtype, dtype, tokens, shape);
          if (tokens < 3)
            check_norm_matmul(matmul, {.unit_offset = true}, dtype, DType::kF32, tokens, shape);
        }
      }
    }
  }
}

// Depths and widths at which kernels that stream go around their rings and share tiles.
TEST(MatMulConformance, DeepAndWide) {
  for (int64_t tokens : {1, 4, 8, 9, 33, 130}) {
    for (MatMulShape shape : {MatMulShape{1088, 2600}, {2048, 200}, {4096, 384}, {7232, 144}}) {
      if (tokens * shape.depth * shape.outputs > 80'000'000) continue;
      op::MatMul plain{.transposed = true}, full = plain, gated = plain;
      full.bias = full.residual = full.float_output = true;
      gated.gated = true;
      gated.activation = op::ActivationKind::kSilu;
      for (const op::MatMul& matmul : {plain, full, gated})
        check_matmul(matmul, DType::kBF16, DType::kBF16, tokens, shape);
    }
  }
}

TEST(MatMulConformance, TypesMix) {
  for (DType x : kDTypes) {
    for (DType w : kDTypes) {
      for (int64_t tokens : {1, 6, 40})
        check_matmul({.transposed = true, .bias = true, .residual = true}, x, w, tokens, {67, 48});
    }
  }
}

TEST(MatMulConformance, Epilogues) {
  using enum op::ActivationKind;
  for (DType dtype : kDTypes) {
    for (auto activation : {kNone, kRelu, kSilu, kGelu, kGeluTanh}) {
      for (int flags = 0; flags < 16; ++flags) {
        op::MatMul matmul{.transposed = true,
                          .bias = (flags & 1) != 0,
                          .residual = (flags & 2) != 0,
                          .activation = activation,
                          .gated = (flags & 4) != 0,
                          .float_output = (flags & 8) != 0};
        for (int64_t tokens : {1, 5, 20}) check_matmul(matmul, dtype, dtype, tokens, {40, 86});
      }
    }
  }
}

TEST(MatMulConformance, OperandsThatAreNotPackedWeights) {
  for (DType dtype : kDTypes) {
    for (bool transposed : {false, true}) {
      for (bool weight : {false, true}) {
        for (int64_t tokens : {1, 3, 33}) {
          op::MatMul plain{.transposed = transposed}, full = plain;
          full.bias = full.residual = full.gated = true;
          full.activation = op::ActivationKind::kSilu;
          check_matmul(plain, dtype, dtype, tokens, {33, 300}, weight);
          check_matmul(full, dtype, dtype, tokens, {64, 610}, weight);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tokamak::kernels::conformance
