// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/options.h"

namespace tokamak::executor {

Result<void> ExecutorOptions::validate(int64_t vocab_size) const {
  auto at_least = [](std::string_view name, auto value, auto limit) -> Result<void> {
    if (value >= limit) return {};
    return base::invalid(fmt::format("{} is {}, must be at least {}", name, value, limit));
  };
  TKM_RETURN_IF_ERROR(at_least("max_queue", max_queue, 1));
  TKM_RETURN_IF_ERROR(at_least("max_running", max_running, 0));
  TKM_RETURN_IF_ERROR(at_least("budget_tokens", budget_tokens, 0));
  if (!(priority_seconds >= 0 && priority_seconds <= 1e6)) {
    return base::invalid(
        fmt::format("priority_seconds is {}, must be between 0 and 1e6", priority_seconds));
  }
  if (!(step_timeout_seconds >= 0 && step_timeout_seconds <= 1e6)) {
    return base::invalid(
        fmt::format("step_timeout_seconds is {}, must be between 0 and 1e6", step_timeout_seconds));
  }
  for (size_t i = 0; i < eos_ids.size(); ++i) {
    if (eos_ids[i] < 0 || eos_ids[i] >= vocab_size) {
      return base::invalid(
          fmt::format("eos_ids[{}] is {}, must be in [0, {})", i, eos_ids[i], vocab_size));
    }
  }
  return {};
}

}  // namespace tokamak::executor
