// SPDX-License-Identifier: Apache-2.0
// The one table of tactics. A new kernel is a file and a line here; conformance_test.cpp runs each
// line against op/'s references.
#include "tokamak/kernels/cpu/tactics.h"

#include "tokamak/kernels/cpu/simd_targets.h"
#include "tokamak/kernels/cuda/tactics.h"
#include "tokamak/kernels/kernel.h"
#include "tokamak/kernels/reference.h"

namespace tokamak::kernels {

std::span<const Tactic* const> all_tactics() {
  static const Tactic* const kTactics[] = {
      &reference_tactic(),
      &cpu::embedding_cpu_rows(),
      &cpu::embedding_cpu_panels(),
      &cpu::rms_norm_cpu_rows(),
      &cpu::add_rms_norm_cpu_rows(),
      &cpu::layer_norm_cpu_rows(),
      &cpu::matmul_cpu_stream(),
      &cpu::matmul_cpu_tile(),
      &cpu::matmul_cpu_plain(),
      &cpu::slice_cpu_rows(),
      &cpu::rope_cpu_rows(),
      &cpu::rope_append_cpu_rows(),
      &cpu::attention_cpu_pages(),
      &cpu::attend_cpu_pages(),
      &cpu::activation_cpu_simd(),
      &cpu::gated_activation_cpu_simd(),
      &cpu::add_cpu_simd(),
      &cpu::mul_cpu_simd(),
      &cpu::scale_cpu_simd(),
      &cpu::softcap_cpu_simd(),
      &cpu::select_rows_cpu_rows(),
      &cuda::embedding_cuda_rows(),
      &cuda::select_rows_cuda_rows(),
      &cuda::slice_cuda_rows(),
      &cuda::rms_norm_cuda_rows(),
      &cuda::add_rms_norm_cuda_rows(),
      &cuda::layer_norm_cuda_rows(),
      &cuda::matmul_cuda_stream(),
      &cuda::matmul_cuda_ring(),
      &cuda::matmul_cuda_cluster(),
      &cuda::matmul_cuda_tma(),
      &cuda::matmul_cuda_cublaslt(),
      &cuda::matmul_cuda_plain(),
      &cuda::norm_matmul_cuda_stream(),
      &cuda::norm_matmul_cuda_ring(),
      &cuda::norm_matmul_cuda_halves(),
      &cuda::rope_cuda_heads(),
      &cuda::rope_append_cuda_heads(),
      &cuda::attention_cuda_flash(),
      &cuda::attention_cuda_plain(),
      &cuda::attend_cuda_flash(),
      &cuda::attend_cuda_plain(),
      &cuda::rope_attend_cuda_cluster(),
      &cuda::rope_attend_cuda_halves(),
      &cuda::activation_cuda_vector(),
      &cuda::gated_activation_cuda_vector(),
      &cuda::add_cuda_vector(),
      &cuda::mul_cuda_vector(),
      &cuda::scale_cuda_vector(),
      &cuda::softcap_cuda_vector(),
  };
  [[maybe_unused]] static const bool limited = (cpu::limit_simd_targets(), true);
  return kTactics;
}

const Tactic* find_tactic(std::string_view name) {
  for (const Tactic* tactic : all_tactics()) {
    if (tactic->name == name) return tactic;
  }
  return nullptr;
}

const WeightLayout& row_major_layout() {
  static const WeightLayout layout = {
      .name = "row_major",
      .bytes =
          [](const KernelDesc& desc) {
            const TensorType& w = desc.inputs[1];
            return tensor::num_elements(w.resolve(0, 0)) * tensor::dtype_bytes(w.dtype);
          },
      .pack_rows =
          [](const KernelDesc& desc, const void* rows, int64_t first, int64_t count, void* packed) {
            const TensorType& w = desc.inputs[1];
            int64_t row_bytes = (w.rank() > 1 ? w.columns() : 1) * tensor::dtype_bytes(w.dtype);
            std::memcpy(static_cast<std::byte*>(packed) + first * row_bytes,
                        rows,
                        static_cast<size_t>(count * row_bytes));
          }};
  return layout;
}

Result<std::vector<Candidate>> candidates(const KernelDesc& desc,
                                          int64_t tokens,
                                          const device::Device& device) {
  std::vector<Candidate> out;
  for (const Tactic* tactic : all_tactics()) {
    if (tactic->target != device.target()) continue;
    for (Json& config : tactic->candidates(desc, tokens, device))
      out.push_back({tactic, std::move(config)});
  }
  if (!out.empty()) return out;
  std::string types;
  for (const TensorType& type : desc.inputs) types += (types.empty() ? "" : ", ") + type.text();
  return base::unsupported(fmt::format("{}({}) {} has no {} tactic",
                                       desc.op.name(),
                                       types,
                                       desc.op.attributes().dump(),
                                       base::enum_name(device.target())));
}

std::vector<MadeKernel> make_kernels(
    device::Device& device,
    int64_t count,
    const std::function<Result<std::unique_ptr<Kernel>>(int64_t)>& make) {
  std::vector<MadeKernel> out(static_cast<size_t>(count));
  auto make_one = [&](int64_t n, int) { out[static_cast<size_t>(n)] = make(n); };
  // Kernels of a GPU are compiled when they are made.
  if (device.host_accessible()) {
    for (int64_t n = 0; n < count; ++n) make_one(n, 0);
  } else {
    device.pool().parallel_for(count, make_one);
  }
  return out;
}

}  // namespace tokamak::kernels
