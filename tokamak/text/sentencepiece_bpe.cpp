// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/sentencepiece_bpe.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "tokamak/text/bpe.h"
#include "tokamak/text/hashing.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

using Type = SentencePieceProto::Type;

bool takes_part(Type type) {
  return type == Type::kNormal || type == Type::kUserDefined || type == Type::kUnused;
}

/// By piece: the place of its score among all scores, the largest first.
std::vector<uint32_t> ranks_of(const SentencePieceProto& proto) {
  std::vector<float> scores;
  for (const auto& piece : proto.pieces) scores.push_back(piece.score);
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<uint32_t> ranks;
  for (const auto& piece : proto.pieces) {
    auto at = std::lower_bound(scores.begin(), scores.end(), piece.score, std::greater<>());
    ranks.push_back(static_cast<uint32_t>(at - scores.begin()));
  }
  return ranks;
}

}  // namespace

SentencePieceBpe::SentencePieceBpe(const SentencePieceProto& proto, TokenId unknown)
    : unknown_(unknown), num_pieces_(static_cast<Symbol>(proto.pieces.size())) {
  table_.reserve(proto.pieces.size() + (1 << 12), proto.pieces.size() * 8);
  std::vector<ByteTrie::Entry> user_defined;
  TokenTable bytes;
  for (TokenId id = 0; id < static_cast<TokenId>(num_pieces_); ++id) {
    const auto& piece = proto.pieces[id];
    if (takes_part(piece.type)) table_.set(piece.text, id);
    if (piece.type == Type::kUserDefined) user_defined.push_back({piece.text, id});
    if (piece.type == Type::kByte) bytes.set(piece.text, id);
  }
  if (proto.byte_fallback) {
    byte_tokens_.assign(256, unknown);
    for (int b = 0; b < 256; ++b) {
      if (auto id = bytes.find(fmt::format("<0x{:02X}>", b))) byte_tokens_[b] = *id;
    }
  }
  user_defined_ = ByteTrie(std::move(user_defined));
  splits_at_spaces_ = can_cut_before_metaspace(table_);
  add_characters(proto);
  add_merges(proto);
  add_unused(proto);
}

void SentencePieceBpe::add_characters(const SentencePieceProto& proto) {
  first_frozen_ = num_pieces_;
  for (const auto& piece : proto.pieces) {
    if (!takes_part(piece.type)) continue;
    for (size_t i = 0; i < piece.text.size(); i += utf8_size(piece.text[i])) {
      std::string_view character = piece.text.substr(i, utf8_size(piece.text[i]));
      if (!table_.find(character)) table_.set(character, static_cast<TokenId>(first_frozen_++));
    }
  }
}

void SentencePieceBpe::add_merges(const SentencePieceProto& proto) {
  std::vector<uint32_t> ranks = ranks_of(proto);
  merges_.reserve(proto.pieces.size() * 2);
  for (Symbol id = 0; id < num_pieces_; ++id) {
    const auto& piece = proto.pieces[id];
    if (!takes_part(piece.type)) continue;
    for (size_t cut = utf8_size(piece.text[0]); cut < piece.text.size();
         cut += utf8_size(piece.text[cut])) {
      auto left = table_.find(piece.text.substr(0, cut));
      auto right = left ? table_.find(piece.text.substr(cut)) : std::nullopt;
      if (!right) continue;
      merges_.add(static_cast<Symbol>(*left), static_cast<Symbol>(*right), ranks[id], id);
    }
  }
}

// A piece that is not to be used may still come up as a step; it falls apart into the two symbols
// that made it, which are those that its own text makes.
void SentencePieceBpe::add_unused(const SentencePieceProto& proto) {
  for (Symbol id = 0; id < num_pieces_; ++id) {
    const auto& piece = proto.pieces[id];
    if (piece.type != Type::kUnused) continue;
    std::vector<Symbol> symbols;
    split(piece.text, symbols);
    while (symbols.size() > 1) {
      size_t best = 0;
      Merges::Merge best_merge;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        Merges::Merge merge = merges_.find(symbols[i], symbols[i + 1]);
        if (merge.rank < best_merge.rank) {
          best = i;
          best_merge = merge;
        }
      }
      if (best_merge.rank == Merges::kNever) break;
      if (best_merge.merged == id) unused_[id] = {symbols[best], symbols[best + 1]};
      symbols[best] = best_merge.merged;
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
  }
}

void SentencePieceBpe::encode(std::string_view word, EncodeState& state) const {
  if (!splits_at_spaces_) return encode_segment(word, state);
  for_each_metaspace_word(word, [&](std::string_view part) { encode_segment(part, state); });
}

void SentencePieceBpe::encode_segment(std::string_view word, EncodeState& state) const {
  if (word.size() > WordCache::kMaxWordBytes) return encode_uncached(word, state);
  uint64_t hash = hash_bytes(word, hash_seed());
  if (cache_.find(word, hash, state.ids)) return;
  size_t before = state.ids.size();
  encode_uncached(word, state);
  cache_.store(word, hash, state.ids.data() + before, state.ids.size() - before);
}

void SentencePieceBpe::split(std::string_view word, std::vector<Symbol>& symbols) const {
  for (size_t i = 0; i < word.size();) {
    if (auto found = user_defined_.longest_prefix(word.substr(i)); found.size > 0) {
      symbols.push_back(frozen(found.value));
      i += found.size;
      continue;
    }
    size_t size = utf8_size(word[i]);
    auto known = table_.find(word.substr(i, size));
    symbols.push_back(known ? static_cast<Symbol>(*known) : foreign());
    i += size;
  }
}

size_t SentencePieceBpe::size_of(Symbol symbol, char first) const {
  if (symbol == foreign()) return utf8_size(first);
  if (symbol >= first_frozen_) symbol -= first_frozen_;
  return table_.token(static_cast<TokenId>(symbol)).size();
}

void SentencePieceBpe::encode_uncached(std::string_view word, EncodeState& state) const {
  std::vector<Symbol>& symbols = state.symbols;
  symbols.clear();
  split(word, symbols);
  merges_.apply(symbols);
  // What fell apart is looked at again, so a stack: the first symbol on top.
  std::reverse(symbols.begin(), symbols.end());
  bool after_unknown = false;
  for (size_t pos = 0; !symbols.empty();) {
    Symbol symbol = symbols.back();
    symbols.pop_back();
    if (auto parts = unused_.find(symbol); parts != unused_.end()) {
      symbols.push_back(parts->second.second);
      symbols.push_back(parts->second.first);
      continue;
    }
    size_t size = size_of(symbol, word[pos]);
    bool is_unknown = symbol == foreign() || (symbol >= num_pieces_ && symbol < first_frozen_);
    if (!is_unknown) {
      state.ids.push_back(
          static_cast<TokenId>(symbol >= first_frozen_ ? symbol - first_frozen_ : symbol));
    } else if (!byte_tokens_.empty()) {
      for (char byte : word.substr(pos, size)) {
        state.ids.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
      }
    } else if (!after_unknown) {
      state.ids.push_back(unknown_);
    }
    after_unknown = is_unknown;
    pos += size;
  }
}

}  // namespace tokamak::text
