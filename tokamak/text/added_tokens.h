// SPDX-License-Identifier: Apache-2.0
// Tokens that stand beside the model's vocabulary ("<|eot_id|>"): they are found in the text before
// the model sees it. The rules are those of Hugging Face `tokenizers`.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokamak/text/byte_trie.h"
#include "tokamak/text/function_ref.h"
#include "tokamak/text/normalizer.h"
#include "tokamak/text/token_table.h"

namespace tokamak::text {

struct AddedToken {
  std::string content;
  bool single_word = false;  ///< Not inside a word.
  bool lstrip = false;       ///< Swallows the space before it.
  bool rstrip = false;       ///< Swallows the space after it.
  bool normalized = true;    ///< Looked for in the normalized text, by its own normalized form.
  bool special = false;      ///< Left out of decoded text.
};

class AddedTokens {
 public:
  AddedTokens() = default;
  /// `model_tokens`: number of tokens of the model's vocabulary.
  explicit AddedTokens(int64_t model_tokens) : model_tokens_(model_tokens) {}

  /// Adds tokens in order and gives `names` the new ones. A token that `names` has keeps its id,
  /// others get the next free one. Errors: unsupported (the normalizer failed on one), corrupt
  /// (too many).
  Result<void> add(std::vector<AddedToken> tokens, const Normalizer* normalizer, TokenTable& names);

  bool is_special(TokenId id) const { return find(id) && find(id)->token.special; }
  /// What decoders see of an added token: its normalized form; null for other tokens.
  const std::string* decoded_form(TokenId id) const { return find(id) ? &find(id)->form : nullptr; }

  /// A part of a text: an added token, or (id < 0) text between them.
  struct Part {
    std::string_view text;
    TokenId id = -1;
  };
  /// The parts of `text` in order, by the tokens that are (not) normalized. With
  /// `special_as_text` special tokens are not recognised.
  void split(std::string_view text,
             bool normalized,
             bool special_as_text,
             FunctionRef<void(Part)> emit) const;
  bool any(bool normalized) const { return !tries_[normalized].empty(); }

 private:
  struct Entry {
    AddedToken token;
    std::string form;  // The text that is looked for.
  };
  const Entry* find(TokenId id) const {
    auto it = entries_.find(id);
    return it == entries_.end() ? nullptr : &it->second;
  }
  void build_tries();

  std::unordered_map<TokenId, Entry> entries_;
  ByteTrie tries_[2];  // By AddedToken::normalized.
  int64_t model_tokens_ = 0;
  TokenId largest_ = -1;
};

}  // namespace tokamak::text
