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
  auto in_vocab = [&](std::string_view name, const auto& ids) -> Result<void> {
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= 0 && ids[i] < vocab_size) continue;
      return base::invalid(
          fmt::format("{}[{}] is {}, must be in [0, {})", name, i, ids[i], vocab_size));
    }
    return {};
  };
  TKM_RETURN_IF_ERROR(in_vocab("eos_ids", eos_ids));
  TKM_RETURN_IF_ERROR(in_vocab("suppressed_ids", suppressed_ids));
  return in_vocab("begin_suppressed_ids", begin_suppressed_ids);
}

}  // namespace tokamak::executor
