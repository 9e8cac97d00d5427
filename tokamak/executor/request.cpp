// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/request.h"

#include <algorithm>

#include "tokamak/executor/kv_cache.h"
#include "tokamak/text/unicode.h"

namespace tokamak::executor {
namespace {

Result<void> validate_length(const Request& request, const runtime::SessionInfo& info) {
  const int64_t prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t answer = request.sampling.max_tokens;
  if (answer > 0 && prompt >= info.max_seq_len) {
    return base::invalid(
        fmt::format("prompt of {} tokens leaves no room for an answer, max_seq_len is {}",
                    prompt,
                    info.max_seq_len),
        fmt::format("shorten the prompt to at most {} tokens", info.max_seq_len - 1));
  }
  if (answer > info.max_seq_len - prompt) {
    return base::invalid(
        fmt::format("prompt of {} tokens + max_tokens {} > max_seq_len {}",
                    prompt,
                    answer,
                    info.max_seq_len),
        answer > 0 ? fmt::format("set max_tokens to at most {}", info.max_seq_len - prompt)
                   : fmt::format("shorten the prompt to {} tokens", info.max_seq_len));
  }
  // The last token is never fed back, so it needs no place in the cache.
  const int64_t pages = pages_for(prompt + std::max<int64_t>(answer - 1, 0));
  if (pages > info.num_pages) {
    return base::invalid(
        fmt::format(
            "prompt of {} tokens + max_tokens {} need {} KV pages of {} tokens, there are {}",
            prompt,
            answer,
            pages,
            op::kPageTokens,
            info.num_pages),
        "open the session with more memory for the KV cache, or ask for less");
  }
  return {};
}

}  // namespace

Result<void> validate(const Request& request, const runtime::SessionInfo& info) {
  if (request.prompt.empty()) return base::invalid("prompt is empty, it needs at least one token");
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    const int32_t token = request.prompt[i];
    if (token < 0 || token >= info.vocab_size) {
      return base::invalid(
          fmt::format("prompt token {} at index {} is not in [0, {})", token, i, info.vocab_size));
    }
  }
  if (request.priority < -kMaxPriority || request.priority > kMaxPriority) {
    return base::invalid(fmt::format("priority is {}, must be between {} and {}",
                                     request.priority,
                                     -kMaxPriority,
                                     kMaxPriority));
  }
  if (request.n < 1 || request.n > kMaxAnswers) {
    return base::invalid(fmt::format("n is {}, must be between 1 and {}", request.n, kMaxAnswers));
  }
  if (request.cache_salt.size() > kMaxSaltBytes) {
    return base::invalid(fmt::format("cache_salt has {} bytes, at most {} are allowed",
                                     request.cache_salt.size(),
                                     kMaxSaltBytes));
  }
  TKM_RETURN_IF_ERROR(request.sampling.validate(info.vocab_size));
  for (size_t i = 0; i < request.sampling.stop.size(); ++i) {
    // Half a character could be found, and the text be cut, in the middle of another.
    if (const auto byte = text::find_invalid_utf8(request.sampling.stop[i])) {
      return base::invalid(fmt::format("stop[{}] is not valid UTF-8 at byte {}", i, *byte));
    }
  }
  return validate_length(request, info);
}

}  // namespace tokamak::executor
