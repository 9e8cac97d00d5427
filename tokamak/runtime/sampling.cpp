// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/sampling.h"

#include <algorithm>
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

Result<void> at_most(std::string_view name, size_t count, std::string_view what, int64_t limit) {
  if (static_cast<int64_t>(count) <= limit) return {};
  return base::invalid(
      fmt::format("{} has {} {}, at most {} are allowed", name, count, what, limit));
}

/// `place` is the index in the list `name`, "[3]" or "[3][1]".
Result<void> in_vocab(std::string_view name, std::string place, int64_t id, int64_t vocab_size) {
  if (id >= 0 && id < vocab_size) return {};
  return base::invalid(fmt::format("{}{} is {}, must be in [0, {})", name, place, id, vocab_size));
}

template <typename Id>
Result<void> all_in_vocab(std::string_view name, const std::vector<Id>& ids, int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i)
    TKM_RETURN_IF_ERROR(in_vocab(name, fmt::format("[{}]", i), ids[i], vocab_size));
  return {};
}

Result<void> validate_bias(const std::vector<LogitBias>& list, int64_t vocab_size) {
  TKM_RETURN_IF_ERROR(at_most("logit_bias", list.size(), "tokens", kMostBiases));
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < list.size(); ++i) {
    TKM_RETURN_IF_ERROR(
        in_vocab("logit_bias", fmt::format("[{}].token", i), list[i].token, vocab_size));
    TKM_RETURN_IF_ERROR(in_range(
        fmt::format("logit_bias of token {}", list[i].token), list[i].bias, -100.0f, 100.0f));
    tokens.push_back(list[i].token);
  }
  std::sort(tokens.begin(), tokens.end());
  const auto twice = std::adjacent_find(tokens.begin(), tokens.end());
  if (twice == tokens.end()) return {};
  return base::invalid(fmt::format("logit_bias names token {} twice", *twice));
}

Result<void> validate_bad_words(const std::vector<std::vector<int32_t>>& words,
                                int64_t vocab_size) {
  TKM_RETURN_IF_ERROR(at_most("bad_words", words.size(), "sequences", kMostBadWords));
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string name = fmt::format("bad_words[{}]", i);
    if (words[i].empty()) return base::invalid(name + " is empty");
    TKM_RETURN_IF_ERROR(at_most(name, words[i].size(), "tokens", kMostBadWordTokens));
    TKM_RETURN_IF_ERROR(all_in_vocab(name, words[i], vocab_size));
  }
  return {};
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
  TKM_RETURN_IF_ERROR(in_range<int64_t>("logprobs", logprobs, -1, kMostLogprobs));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("prompt_logprobs", prompt_logprobs, -1, kMostLogprobs));
  TKM_RETURN_IF_ERROR(
      at_most("logprob_token_ids", logprob_token_ids.size(), "ids", kMostLogprobTokenIds));
  TKM_RETURN_IF_ERROR(all_in_vocab("logprob_token_ids", logprob_token_ids, vocab_size));
  const int64_t least_tokens = prompt_logprobs >= 0 ? 0 : 1;
  TKM_RETURN_IF_ERROR(in_range<int64_t>("max_tokens", max_tokens, least_tokens, kMost));
  TKM_RETURN_IF_ERROR(in_range<int64_t>("min_tokens", min_tokens, 0, max_tokens));
  TKM_RETURN_IF_ERROR(at_most("stop", stop.size(), "texts", kMostStops));
  for (size_t i = 0; i < stop.size(); ++i) {
    if (stop[i].empty()) return base::invalid(fmt::format("stop[{}] is empty", i));
    TKM_RETURN_IF_ERROR(
        at_most(fmt::format("stop[{}]", i), stop[i].size(), "bytes", kMostStopBytes));
  }
  TKM_RETURN_IF_ERROR(at_most("stop_token_ids", stop_token_ids.size(), "ids", kMostStopIds));
  TKM_RETURN_IF_ERROR(all_in_vocab("stop_token_ids", stop_token_ids, vocab_size));
  TKM_RETURN_IF_ERROR(validate_bias(logit_bias, vocab_size));
  TKM_RETURN_IF_ERROR(validate_bad_words(bad_words, vocab_size));
  TKM_RETURN_IF_ERROR(at_most("allowed_token_ids", allowed_token_ids.size(), "ids", vocab_size));
  return all_in_vocab("allowed_token_ids", allowed_token_ids, vocab_size);
}

}  // namespace tokamak::runtime
