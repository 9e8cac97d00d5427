// SPDX-License-Identifier: Apache-2.0
// What this processor can do, as far as kernels choose by it.
#pragma once

#include <cstdint>
#include <string>

namespace tokamak::device {

struct CpuInfo {
  std::string model;    ///< "AMD EPYC"
  bool avx2 = false;    ///< with FMA and F16C
  bool avx512 = false;  ///< F, BW, DQ, VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  int64_t l2_bytes = 0, l3_bytes = 0;  ///< 0 if unknown.
  /// The widest of the above, for fingerprints and doctor: "avx512_bf16".
  std::string isa() const;
};

const CpuInfo& cpu_info();

}  // namespace tokamak::device
