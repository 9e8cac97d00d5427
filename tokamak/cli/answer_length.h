// SPDX-License-Identifier: Apache-2.0
// How long an answer may become where the user did not say.
#pragma once

#include <cstdint>
#include <optional>

#include "tokamak/runtime/session.h"

namespace tokamak::cli {

inline constexpr int64_t kDefaultAnswerTokens = 256;

/// The most tokens of an answer to a prompt of `prompt_tokens`: what the model's own configuration
/// says (`model`), else kDefaultAnswerTokens, at least `min_tokens`; but no more than the context
/// and the cache have left, and at least 1. A prompt that fills the context is refused elsewhere.
int64_t answer_length(std::optional<int64_t> model,
                      int64_t min_tokens,
                      int64_t prompt_tokens,
                      const runtime::SessionInfo& info);

}  // namespace tokamak::cli
