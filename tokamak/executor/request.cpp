// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/request.h"

#include "tokamak/executor/kv_cache.h"

namespace tokamak::executor {
namespace {

Result<void> validate_length(const Request& request, const runtime::SessionInfo& info) {
  const int64_t prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t answer = request.sampling.max_tokens;
  if (prompt >= info.max_seq_len) {
    return base::invalid(
        fmt::format("prompt of {} tokens leaves no room for an answer, max_seq_len is {}",
                    prompt,
                    info.max_seq_len),
        fmt::format("shorten the prompt to at most {} tokens", info.max_seq_len - 1));
  }
  if (answer > info.max_seq_len - prompt) {
    return base::invalid(fmt::format("prompt of {} tokens + max_tokens {} > max_seq_len {}",
                                     prompt,
                                     answer,
                                     info.max_seq_len),
                         fmt::format("set max_tokens to at most {}", info.max_seq_len - prompt));
  }
  // The last token is never fed back, so it needs no place in the cache.
  const int64_t pages = pages_for(prompt + answer - 1);
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
  TKM_RETURN_IF_ERROR(request.sampling.validate(info.vocab_size));
  return validate_length(request, info);
}

}  // namespace tokamak::executor
