// SPDX-License-Identifier: Apache-2.0
// What ptxas prints with -v, one kernel after another:
//   ptxas info    : Compiling entry function '_Z3addv' for 'sm_90a'
//   ptxas info    : Function properties for _Z3addv
//       0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
//   ptxas info    : Used 16 registers, used 0 barriers, 128 bytes smem
#include <charconv>

#include <fmt/format.h>

#include "tokamak/device/cuda/compile.h"

namespace tokamak::device::cuda {
namespace {

/// The number that stands before `unit` in `line`; 0 without it.
int number_before(std::string_view line, std::string_view unit) {
  size_t end = line.find(unit);
  if (end == std::string_view::npos) return 0;
  size_t begin = end;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  int value = 0;
  std::from_chars(line.data() + begin, line.data() + end, value);
  return value;
}

std::string_view quoted(std::string_view line) {
  size_t begin = line.find('\''), end = line.find('\'', begin + 1);
  if (begin == std::string_view::npos || end == std::string_view::npos) return {};
  return line.substr(begin + 1, end - begin - 1);
}

/// ptxas gives these when it makes wgmma wait for each other (C7508: setmaxnreg ignored).
bool says_serialized(std::string_view line) {
  for (std::string_view code : {"C7508", "C7509", "C7510", "C7514", "C7519"}) {
    if (line.find(code) != std::string_view::npos) return true;
  }
  return line.find("wgmma.mma_async instructions are serialized") != std::string_view::npos;
}

}  // namespace

CompileLog parse_compile_log(std::string_view log) {
  CompileLog out;
  while (!log.empty()) {
    size_t end = std::min(log.find('\n'), log.size());
    std::string_view line = log.substr(0, end);
    log.remove_prefix(std::min(end + 1, log.size()));
    if (line.find("Compiling entry function") != std::string_view::npos) {
      out.kernels.push_back({.kernel = std::string(quoted(line))});
    } else if (says_serialized(line)) {
      out.serialized.emplace_back(line);
    } else if (line.find("warning") != std::string_view::npos) {
      out.warnings.emplace_back(line);
    } else if (out.kernels.empty()) {
      continue;
    } else if (line.find("bytes stack frame") != std::string_view::npos) {
      KernelUsage& usage = out.kernels.back();
      usage.stack_bytes += number_before(line, " bytes stack frame");
      usage.spill_bytes += number_before(line, " bytes spill stores");
    } else if (line.find("Used ") != std::string_view::npos) {
      KernelUsage& usage = out.kernels.back();
      usage.registers = number_before(line, " registers");
      usage.shared_bytes = number_before(line, " bytes smem");
    }
  }
  return out;
}

Result<void> check_compile_log(const KernelSource& source, const CompileLog& log) {
  if (!log.serialized.empty())
    return base::unsupported(fmt::format("{}: {}", source.name, log.serialized.front()),
                             "its tensor-core instructions wait for each other: change the config");
  for (const KernelUsage& usage : log.kernels) {
    if (source.allow_spills || (usage.spill_bytes == 0 && usage.stack_bytes == 0)) continue;
    return base::unsupported(
        fmt::format("{}: {} spills {} bytes of registers, with a stack frame of {} bytes",
                    source.name,
                    usage.kernel,
                    usage.spill_bytes,
                    usage.stack_bytes),
        "choose smaller tiles or fewer threads");
  }
  return {};
}

}  // namespace tokamak::device::cuda
