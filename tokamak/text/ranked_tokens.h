// SPDX-License-Identifier: Apache-2.0
// Tokenizers that are a list of byte strings in the order in which they merge: tiktoken files and
// Mistral's tekken.json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokamak/text/pipeline.h"

namespace tokamak::text {

/// Lines of base64 and rank. Which pattern and which special tokens belong to them is not in the
/// file; the number of tokens tells (see kFamilies in tiktoken.cpp). Errors: corrupt, unsupported
/// (an unknown number of tokens).
Result<Pipeline> read_tiktoken(std::string_view text, const std::string& file);

/// Errors: corrupt, unsupported (a pattern that we do not know).
Result<Pipeline> read_tekken(std::string_view text, const std::string& file);

struct SpecialToken {
  std::string content;
  TokenId id;
};
using SpecialTokens = std::vector<SpecialToken>;

/// Gives `bytes` the id. Errors: corrupt (too long, out of range, given already).
Result<void> add_ranked_token(TokenTable& tokens, std::string_view bytes, int64_t id);
/// The pipeline over `tokens`, bytes by id, which merge in the order of their ids. Errors: corrupt.
Result<Pipeline> make_ranked_pipeline(TokenTable tokens, Scanner scanner, const std::string& file);
Result<void> add_special_tokens(Pipeline& parts, const SpecialTokens& specials);

}  // namespace tokamak::text
