// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/context_length.h"

#include <algorithm>

#include "tokamak/op/batch.h"

namespace tokamak::server {

int64_t context_tokens(const runtime::SessionInfo& info) {
  // The last token is never fed back, so it needs no place in the cache.
  return std::min(info.max_seq_len, info.num_pages * op::kPageTokens + 1);
}

int64_t counted_tokens(const runtime::SessionInfo& info) {
  return 2 * info.max_seq_len;
}

std::optional<Fault> length_fault(const executor::Request& request,
                                  const runtime::SessionInfo& info,
                                  const LengthNames& names) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t answer = request.sampling.max_tokens;
  const int64_t context = context_tokens(info);
  if (prompt == 0) {
    return bad_request(fmt::format("{} has no tokens, at least one is needed", names.prompt),
                       names.prompt);
  }
  if (prompt + std::min(answer, context) <= context) return {};
  const std::string limit = fmt::format("This model's maximum context length is {} tokens{}.",
                                        context,
                                        context < info.max_seq_len ? " (of its KV cache)" : "");
  const bool alone = prompt + std::min<int64_t>(answer, 1) > context;
  const int64_t most = context - std::min<int64_t>(answer, 1);
  const Error error =
      alone
          ? base::invalid(fmt::format("{} has {}{} tokens, which leaves no room for an answer. {}",
                                      names.prompt,
                                      prompt > counted_tokens(info) ? "at least " : "",
                                      prompt,
                                      limit),
                          fmt::format("shorten it to at most {} tokens", most))
          : base::invalid(fmt::format("{} is {}, and {} has {} tokens. {}",
                                      names.max_tokens,
                                      answer,
                                      names.prompt,
                                      prompt,
                                      limit),
                          fmt::format("set {} to at most {}", names.max_tokens, context - prompt));
  Fault fault = bad_request(error.text(), alone ? names.prompt : names.max_tokens);
  fault.code = "context_length_exceeded";
  return fault;
}

}  // namespace tokamak::server
