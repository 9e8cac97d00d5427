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
  /// The instruction set that the environment variable TOKAMAK_CPU_ISA asks to stay within:
  /// "baseline", "avx2", "avx512", "avx512_vnni" or "avx512_bf16"; empty without one. The flags
  /// above already respect it. Tests use it to run the paths of older processors.
  std::string isa_limit;
  /// The widest of the above, for fingerprints and doctor: "avx512_bf16".
  std::string isa() const;
};

/// Probed once. A limit that is none of the names above limits nothing.
const CpuInfo& cpu_info();

}  // namespace tokamak::device
