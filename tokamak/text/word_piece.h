// SPDX-License-Identifier: Apache-2.0
// WordPiece (a word is cut greedily into its longest tokens) and WordLevel (a word is one token).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tokamak/text/byte_trie.h"
#include "tokamak/text/model.h"
#include "tokamak/text/token_table.h"

namespace tokamak::text {

class WordPiece : public Model {
 public:
  /// `prefix` marks the tokens that continue a word. A word of more characters than
  /// `max_characters`, or one that cannot be cut, is `unk_token`.
  WordPiece(const TokenTable& tokens,
            std::string unk_token,
            const std::string& prefix,
            int64_t max_characters);
  void encode(std::string_view word, EncodeState& state) const override;

 private:
  ByteTrie starts_, continues_;
  std::string unk_token_;
  std::optional<TokenId> unk_;
  int64_t max_characters_;
};

class WordLevel : public Model {
 public:
  WordLevel(TokenTable tokens, std::string unk_token);
  void encode(std::string_view word, EncodeState& state) const override;

 private:
  TokenTable tokens_;
  std::string unk_token_;
  std::optional<TokenId> unk_;
};

}  // namespace tokamak::text
