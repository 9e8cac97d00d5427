// SPDX-License-Identifier: Apache-2.0
// The unigram language model (Kudo, arXiv:1804.10959): of all ways to cut a text into tokens, the
// one with the largest sum of scores.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tokamak/text/byte_trie.h"
#include "tokamak/text/model.h"
#include "tokamak/text/token_table.h"

namespace tokamak::text {

struct UnigramOptions {
  std::optional<TokenId> unk;
  bool byte_fallback = false;  ///< Unknown characters become tokens like <0xE2>, if all exist.
  /// Sums are kept as floats and user-defined tokens always win, as SentencePiece has it; else
  /// doubles, as Hugging Face `tokenizers` has it.
  bool sentencepiece = false;
  std::vector<bool> user_defined;  ///< By id; may be shorter than the vocabulary.
  std::vector<bool> excluded;      ///< Tokens that text never becomes, by id.
};

class Unigram : public Model {
 public:
  /// `tokens` and their `scores` by id.
  Unigram(TokenTable tokens, std::vector<double> scores, UnigramOptions options);

  void encode(std::string_view word, EncodeState& state) const override;

 private:
  /// The best way to cut the text up to a place: its score and its last token.
  struct Best {
    double score = 0;
    uint32_t begin = kUnreached;
    TokenId id = 0;
  };
  static constexpr uint32_t kUnreached = UINT32_MAX;
  static constexpr TokenId kUnknown = -1;

  bool find_best(std::string_view word, std::vector<Best>& best) const;
  double score_of(TokenId id, size_t size) const;
  void emit_unknown(std::string_view text, EncodeState& state) const;

  TokenTable tokens_;
  std::vector<double> scores_;
  UnigramOptions options_;
  ByteTrie trie_;
  double largest_score_ = 0, unknown_score_ = 0;
  std::optional<std::vector<TokenId>> byte_tokens_;
};

}  // namespace tokamak::text
