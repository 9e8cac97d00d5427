// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding as Hugging Face `tokenizers` defines its BPE model, over bytes or characters.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tokamak/text/merges.h"
#include "tokamak/text/model.h"
#include "tokamak/text/token_table.h"
#include "tokamak/text/word_cache.h"

namespace tokamak::text {

struct BpeOptions {
  std::string unk_token;                  ///< Empty: unknown characters vanish.
  std::string continuing_subword_prefix;  ///< Of every character but the first of a word.
  std::string end_of_word_suffix;         ///< Of the last character of a word.
  bool fuse_unk = false;                  ///< Neighbouring unknown characters are one token.
  bool byte_fallback = false;             ///< Unknown characters become tokens like <0xE2>.
  bool ignore_merges = false;             ///< A word that is a token is that token.
};

class Bpe : public Model {
 public:
  /// `tokens`: the vocabulary. It holds raw bytes if `bytes` is set (then each byte is a token and
  /// a word starts as its bytes), else text (a word starts as its characters).
  Bpe(TokenTable tokens, Merges merges, BpeOptions options, bool bytes);

  void encode(std::string_view word, EncodeState& state) const override;

 private:
  /// With ignore_merges: the word as one token.
  bool push_if_token(std::string_view word, EncodeState& state) const;
  void encode_segment(std::string_view word, EncodeState& state) const;
  void encode_uncached(std::string_view word, EncodeState& state) const;
  void split_bytes(std::string_view word, EncodeState& state) const;
  void split_characters(std::string_view word, EncodeState& state) const;

  TokenTable tokens_;
  Merges merges_;
  BpeOptions options_;
  bool bytes_;
  bool splits_at_spaces_ = false;
  std::optional<TokenId> unk_;
  std::vector<Symbol> byte_symbols_;                // With bytes_: by byte.
  std::optional<std::vector<Symbol>> byte_tokens_;  // <0x00>…<0xFF>, if all are tokens.
  mutable WordCache cache_;
};

/// Whether no merge can join a character other than '▁' to a '▁' after it: then a text is the same
/// ids whether it is encoded whole or cut before such a '▁', and words of unsplit text can be
/// encoded (and remembered) one by one.
bool can_cut_before_metaspace(const TokenTable& tokens);
/// Calls visit for each part of `text` when cut so.
template <typename Visit>
void for_each_metaspace_word(std::string_view text, Visit&& visit) {
  constexpr std::string_view kMetaspace = "\u2581";
  size_t begin = 0;
  for (size_t at = text.find(kMetaspace); at != std::string_view::npos;
       at = text.find(kMetaspace, at + kMetaspace.size())) {
    if (at > begin && text.substr(at - std::min<size_t>(at, 3), 3) != kMetaspace) {
      visit(text.substr(begin, at - begin));
      begin = at;
    }
  }
  if (begin < text.size()) visit(text.substr(begin));
}

}  // namespace tokamak::text
