// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/steady_time.h"

#include <algorithm>

namespace tokamak::compiler {

SampledTime sampled(std::vector<double> samples_us) {
  if (samples_us.empty()) return {};
  std::sort(samples_us.begin(), samples_us.end());
  return {.us = samples_us.front(), .median_us = samples_us[samples_us.size() / 2]};
}

SampledTime merged(const SampledTime& a, const SampledTime& b) {
  return {.us = std::min(a.us, b.us), .median_us = std::min(a.median_us, b.median_us)};
}

Result<std::vector<SampledTime>> time_steadily(
    size_t count, const std::function<Result<SampledTime>(size_t)>& measure) {
  std::vector<SampledTime> times(count);
  for (int round = 0; round < kMaxRounds; ++round) {
    for (size_t i = 0; i < count; ++i) {
      if (round > 0 && times[i].steady()) continue;
      TKM_ASSIGN(SampledTime time, measure(i));
      times[i] = merged(times[i], time);
    }
  }
  return times;
}

}  // namespace tokamak::compiler
