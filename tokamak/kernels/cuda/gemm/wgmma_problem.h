// SPDX-License-Identifier: Apache-2.0
// What matmul_cluster and matmul_tma share on the host: which problems warpgroup products take, the
// tensor maps of their operands, and how a tactic makes a kernel.
#pragma once

#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cuda/gemm/matmul_problem.h"

namespace tokamak::kernels::cuda {

constexpr int64_t kStepColumns = 64;  ///< Of a stage: 128 bytes, the width of the swizzle.

inline bool takes_wgmma(const MatMulProblem& p, const device::cuda::DeviceInfo& info) {
  return info.compute_capability == 90 && p.streams() && p.depth % 8 == 0 &&
         (!p.op.gated || p.columns() % 8 == 0);
}

/// Of w: boxes of `rows` rows; if gated, rows by group of 8, half, place in the group, so that gate
/// and up rows take turns.
inline device::cuda::TensorMapDesc weight_map(const MatMulProblem& p, const void* w, int64_t rows) {
  int64_t depth = p.depth, row = depth * 2;
  if (!p.op.gated) {
    return {.data = w, .shape = {depth, p.outputs}, .strides = {row}, .box = {kStepColumns, rows}};
  }
  return {.data = w,
          .shape = {depth, 8, 2, p.columns() / 8},
          .strides = {row, p.columns() * row, 8 * row},
          .box = {kStepColumns, 8, 2, rows / 16}};
}

/// Boxes of `w_rows` rows of w, see weight_map(), and of `x_rows` tokens, zeros behind the last.
struct OperandMaps {
  device::cuda::abi::TensorMap w, x;

  OperandMaps(const CudaDevice& device,
              const MatMulProblem& p,
              const MatMulArgs& args,
              int64_t w_rows,
              int64_t x_rows) {
    auto made_w = device.tensor_map(weight_map(p, args.w, w_rows));
    auto made_x = device.tensor_map({.data = args.x,
                                     .shape = {p.depth, args.tokens},
                                     .strides = {p.depth * 2},
                                     .box = {kStepColumns, x_rows}});
    TKM_CHECK(made_w.ok(), "weights of a matmul: {}", made_w.error().text());
    TKM_CHECK(made_x.ok(), "tokens of a matmul: {}", made_x.error().text());
    w = *made_w;
    x = *made_x;
  }
};

/// Tactic::make of a MatMulKernel(device, problem, config) with load(), whose Config has fields,
/// kName and valid().
template <class Config, class MatMulKernel>
Made make_wgmma(const KernelDesc& desc, const Json& json, device::Device& device) {
  TKM_ASSIGN(auto config, base::fields_from_json<Config>(json));
  auto problem = matmul_problem(desc);
  const auto& info = device::cuda::cuda_device(device).info();
  if (!problem || !takes_wgmma(*problem, info) || !config.valid(*problem, info))
    return base::invalid(fmt::format("{}: no such config: {}", Config::kName, json.dump()));
  auto kernel = std::make_unique<MatMulKernel>(device, *problem, config);
  TKM_RETURN_IF_ERROR(kernel->load());
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace tokamak::kernels::cuda
