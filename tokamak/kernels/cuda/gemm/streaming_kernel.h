// SPDX-License-Identifier: Apache-2.0
// What matmul_stream and matmul_ring share on the host: one block a multiprocessor, so many tokens
// a launch, arguments and tactics alike.
#pragma once

#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cuda/gemm/normed_problem.h"

namespace tokamak::kernels::cuda {

constexpr int64_t kStreamWarps = 8;             ///< That multiply.
constexpr int64_t kLeastRingBytes = 116 << 10;  ///< Two such rings do not fit a multiprocessor.

/// How one of them is launched.
struct StreamingLaunch {
  std::string name;    ///< "matmul_ring": of the kernel and of its file.
  std::string config;  ///< Its first template argument.
  int64_t tokens = 1;  ///< Of a launch, at most.
  int64_t tiles = 0;   ///< Of the outputs, for blocks to take.
  int64_t shared_bytes = 0;
};

class StreamingKernel : public Kernel {
 public:
  StreamingKernel(const NormedProblem& problem, StreamingLaunch how)
      : problem_(problem), how_(std::move(how)) {}

  Result<void> load(device::Device& device) {
    std::string kernel = instantiate(how_.name,
                                     how_.config,
                                     device_type(problem_.norm_dtype),
                                     device_type(problem_.bias),
                                     device_type(problem_.y));
    TKM_ASSIGN(function_, load_function(device, fmt::format("gemm/{}.cuh", how_.name), kernel));
    int64_t sms = device::cuda::cuda_device(device).info().num_sms;
    blocks_ = std::min(sms, how_.tiles);
    return {};
  }

  void run(const Launch& launch) override {
    int64_t tokens = launch.inputs[0].rows();
    for (int64_t first = 0; first < tokens; first += how_.tokens) {
      function_.launch({.grid = {grid_size(blocks_)},
                        .block = {grid_size((kStreamWarps + 2) * 32)},
                        .shared_bytes = grid_size(how_.shared_bytes),
                        .dependent = true},
                       matmul_args(problem_, launch, first, std::min(how_.tokens, tokens - first)),
                       problem_.norm ? launch.inputs.back().data : nullptr,
                       problem_.norm ? problem_.norm->eps : 0.0f);
    }
  }

 private:
  NormedProblem problem_;
  StreamingLaunch how_;
  Function function_;
  int64_t blocks_ = 0;
};

/// Tactic::candidates of the tactic for the op T, by those for either op.
template <class T, auto candidates>
std::vector<Json> candidates_for(const KernelDesc& desc,
                                 int64_t tokens,
                                 const device::Device& device) {
  return desc.op.as<T>() ? candidates(desc, tokens, device) : std::vector<Json>();
}

/// Tactic::make of a kernel whose Config has fields, valid() and launch().
template <class Config, auto claims>
Made make_streaming(const KernelDesc& desc, const Json& json, device::Device& device) {
  TKM_ASSIGN(auto config, base::fields_from_json<Config>(json));
  auto problem = normed_problem(desc);
  const auto& info = device::cuda::cuda_device(device).info();
  if (!problem || !claims(*problem, info) || !config.valid(*problem, info)) {
    return base::invalid(fmt::format("{}: no such config: {}", Config::kName, json.dump()));
  }
  auto kernel = std::make_unique<StreamingKernel>(*problem, config.launch(*problem));
  TKM_RETURN_IF_ERROR(kernel->load(device));
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace tokamak::kernels::cuda
