// SPDX-License-Identifier: Apache-2.0
// matmul_cpu_plain: any matmul on row-major operands, for user graphs. Not tuned: decoders' linear
// layers have packed weights.
#include "tokamak/kernels/cpu/gemm/matmul_panels.h"
#include "tokamak/kernels/cpu/gemm/plain_simd.h"
#include "tokamak/kernels/cpu/tactics.h"

namespace tokamak::kernels::cpu {
namespace {

constexpr int64_t kColumns = 256;  ///< Result columns a task: their sums stay in the L1 cache.

class PlainMatMul : public Kernel {
 public:
  PlainMatMul(const KernelDesc& desc, device::Device& device)
      : device_(device), matmul_(*desc.op.as<op::MatMul>()) {}

  void run(const Launch& launch) override {
    const TensorView &x = launch.inputs[0], &w = launch.inputs[1];
    Epilogue epilogue = Epilogue::bind(matmul_, launch);
    int64_t blocks = ceil_div(epilogue.columns, kColumns);
    device_.pool().parallel_for(x.rows() * blocks, [&](int64_t i, int) {
      alignas(64) float sums[2 * kColumns];
      int64_t row = i / blocks, first = i % blocks * kColumns;
      int64_t count = std::min(kColumns, epilogue.columns - first);
      PlainSums call{.x_dtype = x.dtype,
                     .w_dtype = w.dtype,
                     .x = offset(static_cast<const void*>(x.data),
                                 row * x.columns() * tensor::dtype_bytes(x.dtype)),
                     .w = w.data,
                     .depth = x.columns(),
                     .outputs = w.shape[matmul_.transposed ? 0 : 1],
                     .transposed = matmul_.transposed,
                     .first = first,
                     .count = count,
                     .sums = sums};
      plain_sums(call);
      if (matmul_.gated) {
        call.first += epilogue.columns;
        call.sums += kColumns;
        plain_sums(call);
      }
      finish_tile(epilogue,
                  {.sums = sums,
                   .stride = 2 * kColumns,
                   .up_offset = kColumns,
                   .first_row = row,
                   .num_rows = 1,
                   .first_column = first,
                   .num_columns = count});
    });
  }

 private:
  device::Device& device_;
  op::MatMul matmul_;
};

}  // namespace

const Tactic& matmul_cpu_plain() {
  static const Tactic tactic = {
      .name = "matmul_cpu_plain",
      .target = Target::kCpu,
      .candidates = [](const KernelDesc& desc,
                       int64_t tokens,
                       const device::Device& device) -> std::vector<Json> {
        if (PanelMatMul::claims(desc)) return {};
        return claim<op::MatMul>(desc, tokens, device);
      },
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(std::make_unique<PlainMatMul>(desc, device));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cpu
