// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/bpe.h"

#include "tokamak/base/check.h"
#include "tokamak/text/hashing.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {

bool can_cut_before_metaspace(const TokenTable& tokens) {
  constexpr std::string_view kMetaspace = "\u2581";
  if (!tokens.find(kMetaspace)) return false;
  for (TokenId id = 0; id < tokens.size(); ++id) {
    std::string_view token = tokens.token(id);
    for (size_t at = token.find(kMetaspace, 1); at != token.npos;
         at = token.find(kMetaspace, at + 1)) {
      if (at < 3 || token.substr(at - 3, 3) != kMetaspace) return false;
    }
  }
  return true;
}

Bpe::Bpe(TokenTable tokens, Merges merges, BpeOptions options, bool bytes)
    : tokens_(std::move(tokens)),
      merges_(std::move(merges)),
      options_(std::move(options)),
      bytes_(bytes) {
  if (!options_.unk_token.empty()) unk_ = tokens_.find(options_.unk_token);
  if (bytes_) {
    for (int b = 0; b < 256; ++b) {
      char byte = static_cast<char>(b);
      auto id = tokens_.find({&byte, 1});
      TKM_CHECK(id.has_value(), "byte {} is no token", b);
      byte_symbols_.push_back(static_cast<Symbol>(*id));
    }
    return;
  }
  std::vector<Symbol> fallback;
  for (int b = 0; b < 256; ++b) {
    auto id = tokens_.find(fmt::format("<0x{:02X}>", b));
    if (id) fallback.push_back(static_cast<Symbol>(*id));
  }
  // A word of a character that has no token and no fallback would be cut from its neighbours, so
  // only a vocabulary that can say everything is cut.
  if (fallback.size() == 256) byte_tokens_ = std::move(fallback);
  splits_at_spaces_ = options_.continuing_subword_prefix.empty() &&
                      options_.end_of_word_suffix.empty() && can_cut_before_metaspace(tokens_);
}

void Bpe::encode(std::string_view word, EncodeState& state) const {
  if (!splits_at_spaces_) return encode_segment(word, state);
  if (push_if_token(word, state)) return;
  for_each_metaspace_word(word, [&](std::string_view part) { encode_segment(part, state); });
}

bool Bpe::push_if_token(std::string_view word, EncodeState& state) const {
  auto id = options_.ignore_merges ? tokens_.find(word) : std::nullopt;
  if (id) state.ids.push_back(*id);
  return id.has_value();
}

void Bpe::encode_segment(std::string_view word, EncodeState& state) const {
  if (word.size() > WordCache::kMaxWordBytes) return encode_uncached(word, state);
  uint64_t hash = hash_bytes(word, hash_seed());
  if (cache_.find(word, hash, state.ids)) return;
  size_t before = state.ids.size();
  encode_uncached(word, state);
  if (state.error) return;
  cache_.store(word, hash, state.ids.data() + before, state.ids.size() - before);
}

void Bpe::encode_uncached(std::string_view word, EncodeState& state) const {
  if (!splits_at_spaces_ && push_if_token(word, state)) return;
  state.symbols.clear();
  bytes_ ? split_bytes(word, state) : split_characters(word, state);
  merges_.apply(state.symbols);
  state.ids.insert(state.ids.end(), state.symbols.begin(), state.symbols.end());
}

void Bpe::split_bytes(std::string_view word, EncodeState& state) const {
  for (char byte : word) state.symbols.push_back(byte_symbols_[static_cast<unsigned char>(byte)]);
}

void Bpe::split_characters(std::string_view word, EncodeState& state) const {
  bool pending_unk = false;
  auto flush_unk = [&] {
    if (pending_unk) state.symbols.push_back(static_cast<Symbol>(*unk_));
    pending_unk = false;
  };
  std::string decorated;
  for (size_t i = 0; i < word.size();) {
    size_t size = utf8_size(word[i]);
    std::string_view character = word.substr(i, size);
    bool first = i == 0, last = i + size == word.size();
    if ((!first && !options_.continuing_subword_prefix.empty()) ||
        (last && !options_.end_of_word_suffix.empty())) {
      decorated = first ? "" : options_.continuing_subword_prefix;
      decorated += character;
      if (last) decorated += options_.end_of_word_suffix;
      character = decorated;
    }
    i += size;
    if (auto id = tokens_.find(character)) {
      flush_unk();
      state.symbols.push_back(static_cast<Symbol>(*id));
      continue;
    }
    if (options_.byte_fallback) {
      bool all = true;
      size_t before = state.symbols.size();
      for (char byte : character) {
        auto value = static_cast<unsigned char>(byte);
        auto id = byte_tokens_ ? std::optional<TokenId>((*byte_tokens_)[value])
                               : tokens_.find(fmt::format("<0x{:02X}>", value));
        if (!id) {
          all = false;
          break;
        }
        state.symbols.push_back(static_cast<Symbol>(*id));
      }
      // As the library has it, an unknown token that is pending stays so and follows the bytes.
      if (all) continue;
      state.symbols.resize(before);
    }
    if (options_.unk_token.empty()) continue;
    if (!unk_) {
      return state.fail(base::invalid(
          fmt::format("unk_token '{}' is needed for '{}' but is not in the vocabulary",
                      options_.unk_token,
                      character)));
    }
    if (!options_.fuse_unk) flush_unk();
    pending_unk = true;
  }
  flush_unk();
}

}  // namespace tokamak::text
