// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/unigram.h"

#include <algorithm>
#include <cfloat>
#include <limits>

#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

constexpr double kUnknownPenalty = 10;

bool flag(const std::vector<bool>& flags, TokenId id) {
  return static_cast<size_t>(id) < flags.size() && flags[id];
}

}  // namespace

Unigram::Unigram(TokenTable tokens, std::vector<double> scores, UnigramOptions options)
    : tokens_(std::move(tokens)), scores_(std::move(scores)), options_(std::move(options)) {
  std::vector<ByteTrie::Entry> entries;
  double smallest = std::numeric_limits<double>::infinity();
  largest_score_ = FLT_MIN;  // The start that SentencePiece has.
  for (TokenId id = 0; id < tokens_.size(); ++id) {
    std::string_view token = tokens_.token(id);
    if (flag(options_.excluded, id)) continue;
    // An id whose token was given to a later one is out of reach.
    if (!token.empty() && tokens_.find(token) == id) entries.push_back({token, id});
    if (options_.sentencepiece && flag(options_.user_defined, id)) continue;
    smallest = std::min(smallest, scores_[id]);
    largest_score_ = std::max(largest_score_, scores_[id]);
  }
  trie_ = ByteTrie(std::move(entries));
  unknown_score_ = smallest - kUnknownPenalty;
  if (options_.sentencepiece) unknown_score_ = static_cast<float>(unknown_score_);
  std::vector<TokenId> bytes;
  for (int b = 0; b < 256; ++b) {
    if (auto id = tokens_.find(fmt::format("<0x{:02X}>", b))) bytes.push_back(*id);
  }
  if (bytes.size() == 256) byte_tokens_ = std::move(bytes);
}

double Unigram::score_of(TokenId id, size_t size) const {
  if (options_.sentencepiece && flag(options_.user_defined, id)) {
    return static_cast<double>(static_cast<float>(size) * static_cast<float>(largest_score_)) - 0.1;
  }
  return scores_[id];
}

bool Unigram::find_best(std::string_view word, std::vector<Best>& best) const {
  auto improve = [&](Best& target, double score, size_t begin, TokenId id) {
    if (options_.sentencepiece) score = static_cast<float>(score);
    if (target.begin != kUnreached && score <= target.score) return;
    target = {score, static_cast<uint32_t>(begin), id};
  };
  for (size_t begin = 0; begin < word.size();) {
    size_t character = utf8_size(word[begin]);
    double so_far = best[begin].score;
    bool has_character = false;
    trie_.for_each_prefix(word.substr(begin), [&](ByteTrie::Prefix token) {
      improve(
          best[begin + token.size], score_of(token.value, token.size) + so_far, begin, token.value);
      has_character = has_character || token.size == character;
    });
    if (!has_character) {
      Best& target = best[begin + character];
      double score = unknown_score_ + so_far;
      if (options_.sentencepiece) score = static_cast<float>(score);
      if (target.begin == kUnreached || score > target.score) {
        if (!options_.unk) return false;
        improve(target, score, begin, kUnknown);
      }
    }
    begin += character;
  }
  return true;
}

void Unigram::encode(std::string_view word, EncodeState& state) const {
  std::vector<Best> best(word.size() + 1);
  if (!find_best(word, best)) {
    return state.fail(
        base::invalid("the text has an unknown character and the vocabulary no unk_id"));
  }
  std::vector<uint32_t> ends;
  for (auto end = static_cast<uint32_t>(word.size()); end > 0; end = best[end].begin) {
    ends.push_back(end);
  }
  auto is_unknown = [&](uint32_t end) {
    return best[end].id == kUnknown || best[end].id == options_.unk;
  };
  // Neighbouring unknown characters are one.
  uint32_t unknown_begin = kUnreached;
  for (size_t i = ends.size(); i-- > 0;) {
    uint32_t end = ends[i], begin = best[end].begin;
    if (!is_unknown(end)) {
      state.ids.push_back(best[end].id);
      continue;
    }
    if (unknown_begin == kUnreached) unknown_begin = begin;
    if (i == 0 || !is_unknown(ends[i - 1])) {
      emit_unknown(word.substr(unknown_begin, end - unknown_begin), state);
      unknown_begin = kUnreached;
    }
  }
}

void Unigram::emit_unknown(std::string_view text, EncodeState& state) const {
  if (!options_.sentencepiece) {
    if (auto id = tokens_.find(text)) {
      state.ids.push_back(*id);
      return;
    }
  }
  auto byte_token = [&](char byte) -> std::optional<TokenId> {
    auto value = static_cast<unsigned char>(byte);
    if (byte_tokens_) return (*byte_tokens_)[value];
    return tokens_.find(fmt::format("<0x{:02X}>", value));
  };
  bool all = options_.byte_fallback && std::all_of(text.begin(), text.end(), [&](char byte) {
               return byte_token(byte).has_value();
             });
  if (!all) return state.ids.push_back(*options_.unk);
  for (char byte : text) state.ids.push_back(*byte_token(byte));
}

}  // namespace tokamak::text
