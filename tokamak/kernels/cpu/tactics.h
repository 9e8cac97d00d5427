// SPDX-License-Identifier: Apache-2.0
// The tactics of the cpu target, a function each; tactics.cpp lists them.
#pragma once

#include "tokamak/kernels/kernel.h"

namespace tokamak::kernels::cpu {

const Tactic& matmul_cpu_stream();
const Tactic& matmul_cpu_tile();
const Tactic& matmul_cpu_plain();
const Tactic& attention_cpu_pages();
const Tactic& attend_cpu_pages();
const Tactic& rope_cpu_rows();
const Tactic& rope_append_cpu_rows();
const Tactic& rms_norm_cpu_rows();
const Tactic& add_rms_norm_cpu_rows();
const Tactic& layer_norm_cpu_rows();
const Tactic& embedding_cpu_rows();
const Tactic& embedding_cpu_panels();
const Tactic& select_rows_cpu_rows();
const Tactic& slice_cpu_rows();
const Tactic& activation_cpu_simd();
const Tactic& gated_activation_cpu_simd();
const Tactic& add_cpu_simd();
const Tactic& mul_cpu_simd();
const Tactic& scale_cpu_simd();
const Tactic& softcap_cpu_simd();

}  // namespace tokamak::kernels::cpu
