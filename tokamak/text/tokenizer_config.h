// SPDX-License-Identifier: Apache-2.0
// tokenizer_config.json and special_tokens_map.json: what transformers keeps beside the
// tokenizer's own file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tokamak/text/pipeline.h"

namespace tokamak::text {

struct TokenizerConfig {
  std::string tokenizer_class;
  /// By id, from `added_tokens_decoder`.
  std::vector<std::pair<TokenId, AddedToken>> added_tokens;
  /// BOS, EOS, unknown, padding and the additional ones.
  std::vector<AddedToken> special_tokens;
  std::string bos_token, eos_token;  ///< Empty: none.
  std::optional<bool> add_bos_token, add_eos_token;
  bool legacy = true;
};

/// Of a checkpoint folder; defaults where it has none. Errors: corrupt (file and field).
Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& folder);

/// Adds the configuration's tokens to a tokenizer that came from another file.
Result<void> apply_tokens(const TokenizerConfig& config, Pipeline& parts);
/// Puts BOS and EOS around texts as add_bos_token and add_eos_token say. For tokenizers whose file
/// does not say so itself; tokenizer.json does.
void apply_bos_and_eos(const TokenizerConfig& config, Pipeline& parts);

}  // namespace tokamak::text
