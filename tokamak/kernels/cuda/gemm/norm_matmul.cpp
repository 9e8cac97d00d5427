// SPDX-License-Identifier: Apache-2.0
// norm_matmul_cuda_halves: the norm, then any matmul tactic.
#include "tokamak/kernels/cuda/gemm/normed_problem.h"
#include "tokamak/kernels/cuda/pair.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kMaxNormDepth = 16384;

Halves halves_of(const KernelDesc& desc) {
  const auto& op = *desc.op.as<op::NormMatMul>();
  size_t norm = desc.inputs.size() - 1;
  std::vector<size_t> rest;
  for (size_t i = 1; i < norm; ++i) rest.push_back(i);
  return split_op(desc, op.norm(), {0, norm}, static_cast<const op::MatMul&>(op), rest);
}

}  // namespace

std::optional<NormedProblem> normed_problem(const KernelDesc& desc) {
  const auto* norm = desc.op.as<op::NormMatMul>();
  if (norm && !all_supported(desc)) return std::nullopt;
  auto plain = matmul_problem(norm ? halves_of(desc).second : desc);
  if (!plain) return std::nullopt;
  if (!norm) return NormedProblem{*plain};
  if (plain->depth > kMaxNormDepth) return std::nullopt;
  return NormedProblem{*plain, *norm, desc.inputs.back().dtype};
}

const Tactic& norm_matmul_cuda_halves() {
  static const Tactic tactic = {
      .name = "norm_matmul_cuda_halves",
      .target = Target::kCuda,
      .candidates = [](const KernelDesc& desc,
                       int64_t tokens,
                       const device::Device& device) -> std::vector<Json> {
        if (!desc.op.as<op::NormMatMul>() || !all_supported(desc)) return {};
        if (takes_stream(desc, tokens, device)) return {};
        std::vector<Json> out = half_candidates(halves_of(desc).second, tokens, device);
        // Beside the ring, which norms x itself, only this one is worth its time.
        if (takes_ring(desc, tokens, device))
          std::erase_if(out,
                        [](const Json& half) { return half["tactic"] != "matmul_cuda_cluster"; });
        return out;
      },
      .make = [](const KernelDesc& desc,
                 const Json& config,
                 device::Device& device) { return make_pair(halves_of(desc), config, device); }};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
