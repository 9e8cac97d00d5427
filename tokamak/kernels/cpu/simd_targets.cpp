// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/simd_targets.h"

#include <hwy/highway.h>

#include "tokamak/device/cpu/isa.h"

namespace tokamak::kernels::cpu {

void limit_simd_targets() {
  const device::CpuInfo& info = device::cpu_info();
  int64_t disabled = 0;
  if (!info.avx512) disabled |= HWY_AVX3 | HWY_AVX3_DL;
  if (!info.avx2) disabled |= HWY_AVX2;
  if (info.isa_limit.empty() || !disabled) return;
  hwy::DisableTargets(disabled);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace tokamak::kernels::cpu
