// SPDX-License-Identifier: Apache-2.0
// tokenizer_config.json, special_tokens_map.json and added_tokens.json: what transformers keeps
// beside the tokenizer's own file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tokamak/text/pipeline.h"

namespace tokamak::text {

struct TokenizerConfig {
  struct Named {
    std::string name;  ///< "bos_token", "image_token", …
    AddedToken token;
    bool by_class = false;  ///< Its tokenizer_class says so, no file.
  };

  std::string tokenizer_class;  ///< Without "Fast".
  /// By id: added_tokens_decoder, else added_tokens.json.
  std::vector<std::pair<TokenId, AddedToken>> added_tokens;
  bool added_tokens_json = false;    ///< They are of the old file, which does not know their flags.
  std::vector<Named> named;          ///< In the order in which transformers adds them.
  std::vector<std::string> unnamed;  ///< Names that are null: the model has no such token.
  std::vector<AddedToken> more_tokens;  ///< additional_special_tokens, extra_special_tokens.
  std::optional<bool> add_bos_token, add_eos_token, add_prefix_space;
  bool legacy = true;                 ///< SentencePiece: a space also goes after added tokens.
  bool split_special_tokens = false;  ///< The texts of special tokens are plain text.

  const Named* find(std::string_view name) const;
};

/// Of a checkpoint folder; defaults where it has none. As in transformers, special_tokens_map.json
/// and added_tokens.json count unless tokenizer_config.json has an added_tokens_decoder, and then
/// the map comes before what tokenizer_config.json names. Errors: corrupt (file and field).
Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& folder);

/// Adds the configuration's tokens to a tokenizer that came from another file.
Result<void> apply_tokens(const TokenizerConfig& config, Pipeline& parts);
/// Puts BOS and EOS around texts as add_bos_token and add_eos_token say. For tokenizers whose file
/// does not say so itself; tokenizer.json does.
void apply_bos_and_eos(const TokenizerConfig& config, Pipeline& parts);

}  // namespace tokamak::text
