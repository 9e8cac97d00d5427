// SPDX-License-Identifier: Apache-2.0
// The tactics of the cuda target, a function each; kernels/tactics.cpp lists them.
#pragma once

#include "tokamak/kernels/kernel.h"

namespace tokamak::kernels::cuda {

const Tactic& embedding_cuda_rows();
const Tactic& select_rows_cuda_rows();
const Tactic& slice_cuda_rows();
const Tactic& rms_norm_cuda_rows();
const Tactic& add_rms_norm_cuda_rows();
const Tactic& layer_norm_cuda_rows();
const Tactic& activation_cuda_vector();
const Tactic& gated_activation_cuda_vector();
const Tactic& add_cuda_vector();
const Tactic& mul_cuda_vector();
const Tactic& scale_cuda_vector();
const Tactic& softcap_cuda_vector();
const Tactic& rope_cuda_heads();
const Tactic& rope_append_cuda_heads();
const Tactic& attend_cuda_flash();
const Tactic& attend_cuda_plain();
const Tactic& attention_cuda_flash();
const Tactic& attention_cuda_plain();
const Tactic& rope_attend_cuda_cluster();
const Tactic& rope_attend_cuda_halves();
const Tactic& matmul_cuda_stream();
const Tactic& matmul_cuda_ring();
const Tactic& matmul_cuda_cluster();
const Tactic& matmul_cuda_tma();
const Tactic& matmul_cuda_cublaslt();
const Tactic& matmul_cuda_plain();
const Tactic& norm_matmul_cuda_stream();
const Tactic& norm_matmul_cuda_ring();
const Tactic& norm_matmul_cuda_halves();

}  // namespace tokamak::kernels::cuda
