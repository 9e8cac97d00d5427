// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/cpu/isa.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <string_view>

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

/// Clears what is wider than `limit`.
void apply_limit(std::string_view limit, CpuInfo& info) {
  constexpr std::array<std::string_view, 5> kLevels = {
      "baseline", "avx2", "avx512", "avx512_vnni", "avx512_bf16"};
  auto found = std::find(kLevels.begin(), kLevels.end(), limit);
  if (found == kLevels.end()) return;
  auto level = found - kLevels.begin();
  info.isa_limit = limit;
  info.avx2 = info.avx2 && level >= 1;
  info.avx512 = info.avx512 && level >= 2;
  info.avx512_vnni = info.avx512_vnni && level >= 3;
  info.avx512_bf16 = info.avx512_bf16 && level >= 4;
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
  if (const char* limit = std::getenv("TOKAMAK_CPU_ISA")) apply_limit(limit, info);
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
