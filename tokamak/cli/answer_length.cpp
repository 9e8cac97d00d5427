// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/answer_length.h"

#include <algorithm>

namespace tokamak::cli {

int64_t answer_length(std::optional<int64_t> model,
                      int64_t min_tokens,
                      int64_t prompt_tokens,
                      const runtime::SessionInfo& info) {
  // The last token is never fed back, so it needs no place in the cache.
  int64_t cache = info.num_pages * op::kPageTokens + 1;
  int64_t room = std::min(info.max_seq_len, cache) - prompt_tokens;
  int64_t wanted = std::max(model.value_or(kDefaultAnswerTokens), min_tokens);
  return std::max<int64_t>(1, std::min(wanted, room));
}

}  // namespace tokamak::cli
