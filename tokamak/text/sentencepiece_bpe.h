// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding as SentencePiece has it: neighbours merge if their text together is a piece,
// the best score first. Symbols start as characters, also such that are no piece themselves.
#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "tokamak/text/byte_trie.h"
#include "tokamak/text/merges.h"
#include "tokamak/text/model.h"
#include "tokamak/text/sentencepiece_proto.h"
#include "tokamak/text/token_table.h"
#include "tokamak/text/word_cache.h"

namespace tokamak::text {

class SentencePieceBpe : public Model {
 public:
  /// `unknown`: the id of the unknown piece.
  SentencePieceBpe(const SentencePieceProto& proto, TokenId unknown);

  void encode(std::string_view word, EncodeState& state) const override;

 private:
  // Symbols are pieces by id; then characters that pieces have without being one; then, from
  // first_frozen_ on, user-defined pieces that were found in the text and never merge; last the
  // character that no piece has.
  Symbol frozen(TokenId id) const { return first_frozen_ + static_cast<Symbol>(id); }
  Symbol foreign() const { return first_frozen_ + num_pieces_; }

  void add_characters(const SentencePieceProto& proto);
  void add_merges(const SentencePieceProto& proto);
  void add_unused(const SentencePieceProto& proto);
  void encode_segment(std::string_view word, EncodeState& state) const;
  void encode_uncached(std::string_view word, EncodeState& state) const;
  void split(std::string_view word, std::vector<Symbol>& symbols) const;
  size_t size_of(Symbol symbol, char first) const;

  TokenTable table_;  // Text to symbol, but for control, unknown and byte pieces.
  Merges merges_;
  ByteTrie user_defined_;
  std::unordered_map<Symbol, std::pair<Symbol, Symbol>> unused_;  // What they fall apart into.
  std::vector<TokenId> byte_tokens_;                              // Empty without byte fallback.
  TokenId unknown_;
  Symbol num_pieces_, first_frozen_ = 0;
  bool splits_at_spaces_ = false;
  mutable WordCache cache_;
};

}  // namespace tokamak::text
