// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/sampling.h"

#include <limits>

namespace tokamak::runtime {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

/// Written so that NaN is out of range.
template <typename T>
Result<void> in_range(std::string_view name, T value, T low, T high) {
  if (value >= low && value <= high) return {};
  if constexpr (std::is_integral_v<T>) {
    if (high == kMost) {
      return base::invalid(fmt::format("{} is {}, must be at least {}", name, value, low));
    }
  }
  return base::invalid(fmt::format("{} is {}, must be between {} and {}", name, value, low, high));
}

}  // namespace

Result<void> SamplingParams::validate(int64_t vocab_size) const {
  TKM_RETURN_IF_ERROR(in_range("temperature", temperature, 0.0f, 100.0f));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("top_k", top_k, -1, kMost));
  TKM_RETURN_IF_ERROR(in_range("top_p", top_p, 0.0f, 1.0f));
  TKM_RETURN_IF_ERROR(in_range("min_p", min_p, 0.0f, 1.0f));
  TKM_RETURN_IF_ERROR(in_range("repetition_penalty", repetition_penalty, 0.0f, 100.0f));
  if (repetition_penalty == 0) return base::invalid("repetition_penalty is 0, must be above 0");
  TKM_RETURN_IF_ERROR(in_range("presence_penalty", presence_penalty, -2.0f, 2.0f));
  TKM_RETURN_IF_ERROR(in_range("frequency_penalty", frequency_penalty, -2.0f, 2.0f));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("max_tokens", max_tokens, 1, kMost));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("min_tokens", min_tokens, 0, max_tokens));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("logprobs", logprobs, -1, 20));
  if (stop.size() > 16) {
    return base::invalid(fmt::format("stop has {} texts, at most 16 are allowed", stop.size()));
  }
  for (size_t i = 0; i < stop.size(); ++i) {
    if (stop[i].empty()) return base::invalid(fmt::format("stop[{}] is empty", i));
  }
  if (stop_token_ids.size() > 128) {
    return base::invalid(
        fmt::format("stop_token_ids has {} ids, at most 128 are allowed", stop_token_ids.size()));
  }
  for (size_t i = 0; i < stop_token_ids.size(); ++i) {
    if (stop_token_ids[i] < 0 || stop_token_ids[i] >= vocab_size) {
      return base::invalid(fmt::format(
          "stop_token_ids[{}] is {}, must be in [0, {})", i, stop_token_ids[i], vocab_size));
    }
  }
  return {};
}

}  // namespace tokamak::runtime
