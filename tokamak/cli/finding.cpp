// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/finding.h"

#include <fmt/format.h>

#include "tokamak/engine/engine.h"

namespace tokamak::cli {
namespace {

constexpr double kBusyShare = 0.25;               // Of the processors.
constexpr int kBusyPercent = 5;                   // Of a GPU's time.
constexpr int64_t kBusyBytes = int64_t{2} << 30;  // A driver alone keeps some hundred MiB.

constexpr const char* kAdvice =
    "what is timed now (tactics of a build, bench) will be slower than it is, and noisy: wait, or "
    "stop the others";

}  // namespace

Finding processors_in_use(double load, int processors) {
  const bool busy = load > kBusyShare * processors;
  return {busy ? Finding::kNote : Finding::kOk,
          fmt::format("machine: {}, {:.1f} programs running on {} processors in the last minute",
                      busy ? "busy" : "not busy",
                      load,
                      processors),
          busy ? kAdvice : ""};
}

Finding gpu_in_use(const device::cuda::GpuLoad& load) {
  const bool busy =
      load.num_processes > 0 || load.busy_percent >= kBusyPercent || load.used_bytes >= kBusyBytes;
  return {busy ? Finding::kNote : Finding::kOk,
          fmt::format("GPU use: {}, {} other processes, {} % of the time, {} of memory",
                      busy ? "busy" : "not busy",
                      load.num_processes,
                      load.busy_percent,
                      engine::bytes_text(load.used_bytes)),
          busy ? kAdvice : ""};
}

}  // namespace tokamak::cli
