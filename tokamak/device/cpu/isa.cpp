// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/cpu/isa.h"

#include <algorithm>
#include <fstream>

#include <unistd.h>

namespace tokamak::device {
namespace {

std::string model_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      size_t colon = line.find(':');
      if (colon != std::string::npos) return line.substr(std::min(colon + 2, line.size()));
    }
  }
  return "unknown processor";
}

CpuInfo probe() {
  CpuInfo info;
  info.model = model_name();
#if defined(__x86_64__)
  __builtin_cpu_init();
  info.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  info.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  info.avx512_vnni = info.avx512 && __builtin_cpu_supports("avx512vnni");
  info.avx512_bf16 = info.avx512 && __builtin_cpu_supports("avx512bf16");
#endif
  info.l2_bytes = std::max(0L, ::sysconf(_SC_LEVEL2_CACHE_SIZE));
  info.l3_bytes = std::max(0L, ::sysconf(_SC_LEVEL3_CACHE_SIZE));
  return info;
}

}  // namespace

std::string CpuInfo::isa() const {
  if (avx512_bf16) return "avx512_bf16";
  if (avx512_vnni) return "avx512_vnni";
  if (avx512) return "avx512";
  if (avx2) return "avx2";
  return "baseline";
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = probe();
  return info;
}

}  // namespace tokamak::device
