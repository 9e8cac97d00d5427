// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_plain: any types and shapes, w either way round.
#include "tokamak/kernels/cuda/gemm/matmul_problem.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

class PlainMatMul : public Kernel {
 public:
  PlainMatMul(Function function, const MatMulProblem& problem)
      : function_(std::move(function)), problem_(problem) {}

  void run(const Launch& launch) override {
    int64_t tokens = launch.inputs[0].rows();
    if (tokens == 0) return;
    function_.launch(
        {.grid = {grid_size(ceil_div(problem_.columns(), 64)), grid_size(ceil_div(tokens, 32))},
         .block = {256},
         .dependent = true},
        matmul_args(problem_, launch, 0, tokens),
        static_cast<int32_t>(problem_.outputs),
        static_cast<int32_t>(problem_.depth));
  }

 private:
  Function function_;
  MatMulProblem problem_;
};

}  // namespace

const Tactic& matmul_cuda_plain() {
  static const Tactic tactic = {
      .name = "matmul_cuda_plain",
      .target = Target::kCuda,
      .candidates =
          [](const KernelDesc& desc, int64_t, const device::Device&) -> std::vector<Json> {
        if (!matmul_problem(desc)) return {};
        return {Json::object()};
      },
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        MatMulProblem p = *matmul_problem(desc);
        MatMulProblem any_size = p;
        any_size.outputs = any_size.depth = 0;
        std::string kernel = instantiate("matmul_plain",
                                         any_size.text(),
                                         device_type(p.x),
                                         device_type(p.w),
                                         device_type(p.bias),
                                         device_type(p.y));
        TKM_ASSIGN(Function function, load_function(device, "gemm/matmul_plain.cuh", kernel));
        return std::unique_ptr<Kernel>(std::make_unique<PlainMatMul>(std::move(function), p));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
