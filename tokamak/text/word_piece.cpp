// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/word_piece.h"

#include <vector>

#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

void push_unknown(std::optional<TokenId> unk, const std::string& token, EncodeState& state) {
  if (unk) return state.ids.push_back(*unk);
  state.fail(
      base::invalid(fmt::format("unk_token '{}' is needed but is not in the vocabulary", token)));
}

int64_t count_characters(std::string_view text) {
  int64_t count = 0;
  for (char byte : text) count += (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
  return count;
}

}  // namespace

WordPiece::WordPiece(const TokenTable& tokens,
                     std::string unk_token,
                     const std::string& prefix,
                     int64_t max_characters)
    : unk_token_(std::move(unk_token)),
      unk_(tokens.find(unk_token_)),
      max_characters_(max_characters) {
  std::vector<ByteTrie::Entry> starts, continues;
  for (TokenId id = 0; id < tokens.size(); ++id) {
    std::string_view token = tokens.token(id);
    if (token.empty() || tokens.find(token) != id) continue;
    starts.push_back({token, id});
    if (token.starts_with(prefix)) continues.push_back({token.substr(prefix.size()), id});
  }
  starts_ = ByteTrie(std::move(starts));
  continues_ = ByteTrie(std::move(continues));
}

void WordPiece::encode(std::string_view word, EncodeState& state) const {
  size_t before = state.ids.size();
  if (count_characters(word) > max_characters_) return push_unknown(unk_, unk_token_, state);
  for (size_t begin = 0; begin < word.size();) {
    auto piece = (begin == 0 ? starts_ : continues_).longest_prefix(word.substr(begin));
    if (piece.size == 0) {
      state.ids.resize(before);
      return push_unknown(unk_, unk_token_, state);
    }
    state.ids.push_back(piece.value);
    begin += piece.size;
  }
}

WordLevel::WordLevel(TokenTable tokens, std::string unk_token)
    : tokens_(std::move(tokens)),
      unk_token_(std::move(unk_token)),
      unk_(tokens_.find(unk_token_)) {}

void WordLevel::encode(std::string_view word, EncodeState& state) const {
  if (auto id = tokens_.find(word)) return state.ids.push_back(*id);
  push_unknown(unk_, unk_token_, state);
}

}  // namespace tokamak::text
