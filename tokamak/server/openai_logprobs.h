// SPDX-License-Identifier: Apache-2.0
// Logprobs in the two shapes of OpenAI's API, as JSON text.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tokamak/executor/request.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::server {

/// A token of a text with its logprobs; the first token of a prompt has none.
struct ScoredToken {
  int32_t id = 0;
  std::optional<executor::TokenLogprobs> logprobs;
  bool in_text = true;      ///< False: a special token that the text leaves out.
  bool opens_text = false;  ///< Without the space that its like have inside a text.
};

struct TokenTexts {
  const text::Tokenizer* tokenizer = nullptr;  ///< Null: tokens are shown as their ids.
  bool as_ids = false;                         ///< "token_id:42"

  /// The bytes that the token stands for, inside a text or at its beginning.
  std::string bytes(int32_t id, bool opens_text = false) const;
  /// As a JSON string; bytes that are no whole character become U+FFFD.
  std::string json(int32_t id, bool opens_text = false) const;
};

/// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, of `prompt` and then of `tokens`.
/// `offset` counts characters of the text: that of the first token, and afterwards that behind the
/// last. What the text leaves out has the offset of what follows it.
void append_completion_logprobs(std::string& out,
                                std::span<const ScoredToken> prompt,
                                std::span<const ScoredToken> tokens,
                                const TokenTexts& texts,
                                int64_t& offset);

/// {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}
void append_chat_logprobs(std::string& out,
                          std::span<const ScoredToken> tokens,
                          const TokenTexts& texts);

/// vLLM's prompt_logprobs: [null, {"id": {"logprob", "rank", "decoded_token"}}]. The rank is given
/// for the best tokens only.
void append_prompt_logprobs(std::string& out,
                            std::span<const ScoredToken> tokens,
                            const TokenTexts& texts);

}  // namespace tokamak::server
