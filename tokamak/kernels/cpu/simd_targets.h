// SPDX-License-Identifier: Apache-2.0
// Which instruction sets Highway code is compiled for, and the limit that TOKAMAK_CPU_ISA puts on
// the choice among them. Included before any Highway header.
#pragma once

// SSE4, AVX2 and AVX-512 cover the machines in use; others take the portable fallback.
#define HWY_DISABLED_TARGETS HWY_SSSE3

namespace tokamak::kernels::cpu {

/// Makes Highway's dispatch respect device::cpu_info(). Called before the first kernel is made.
void limit_simd_targets();

}  // namespace tokamak::kernels::cpu
