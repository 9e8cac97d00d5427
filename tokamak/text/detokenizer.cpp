// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/tokenizer.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

constexpr std::string_view kReplacement = "\ufffd";

enum class Utf8State { kIncomplete, kInvalid };
struct Utf8Part {
  Utf8State state;
  size_t size;  // Of the longest start of a character, at least 1.
};

/// What is wrong at the start of `bytes`, which is no character.
Utf8Part first_part(std::string_view bytes) {
  auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  unsigned first = at(0);
  if (first < 0xc2 || first > 0xf4) return {Utf8State::kInvalid, 1};
  unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1;; ++i) {
    if (i == bytes.size()) return {Utf8State::kIncomplete, i};
    if (at(i) < low || at(i) > high) return {Utf8State::kInvalid, i};
    low = 0x80;
    high = 0xbf;
  }
}

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer),
      skip_special_tokens_(skip_special_tokens),
      left_to_strip_(tokenizer.join_rules().strip_left) {}

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens)
    : Detokenizer(*tokenizer, skip_special_tokens) {
  owner_ = std::move(tokenizer);
}

std::string Detokenizer::push(TokenId id) {
  std::string out;
  if (tokenizer_->token(id).empty() || (skip_special_tokens_ && tokenizer_->is_special(id))) {
    return out;
  }
  if (tokenizer_->join_rules().looks_ahead) std::swap(id, pending_);
  if (id >= 0) add(id, false, out);
  return out;
}

std::string Detokenizer::finish() {
  std::string out;
  if (pending_ >= 0) add(std::exchange(pending_, -1), true, out);
  repair(true, out);
  held_strips_.clear();
  return out;
}

void Detokenizer::add(TokenId id, bool last, std::string& out) {
  TokenPiece piece = tokenizer_->piece(id, first_, last);
  if (!piece.bytes.empty() || !tokenizer_->join_rules().first_until_text) first_ = false;
  if (tokenizer_->join_rules().repair_each_byte && !piece.is_byte) {
    repair(true, out);
    emit(piece.bytes, out);
    return;
  }
  held_ += piece.bytes;
  repair(false, out);
}

void Detokenizer::repair(bool complete, std::string& out) {
  const bool each_byte = tokenizer_->join_rules().repair_each_byte;
  std::string_view rest = held_;
  while (!rest.empty()) {
    size_t valid = find_invalid_utf8(rest).value_or(rest.size());
    emit(rest.substr(0, valid), out);
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    Utf8Part part = first_part(rest);
    if (part.state == Utf8State::kIncomplete && !complete) break;
    emit(kReplacement, out);
    rest.remove_prefix(each_byte ? 1 : part.size);
  }
  held_.erase(0, held_.size() - rest.size());
}

void Detokenizer::emit(std::string_view text, std::string& out) {
  const JoinRules& rules = tokenizer_->join_rules();
  while (left_to_strip_ > 0 && !text.empty()) {
    if (!text.starts_with(rules.strip)) {
      left_to_strip_ = 0;
      break;
    }
    --left_to_strip_;
    text.remove_prefix(rules.strip.size());
  }
  if (rules.strip_right == 0 || text.empty()) {
    out += text;
    return;
  }
  // Up to strip_right characters at the end may yet be stripped; what is before them is certain.
  held_strips_ += text;
  size_t end = held_strips_.size();
  for (int i = 0; i < rules.strip_right; ++i) {
    if (!std::string_view(held_strips_).substr(0, end).ends_with(rules.strip)) break;
    end -= rules.strip.size();
  }
  out.append(held_strips_, 0, end);
  held_strips_.erase(0, end);
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> ids,
                                      bool skip_special_tokens) const {
  Detokenizer detokenizer(*this, skip_special_tokens);
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size()) {
      return base::invalid(
          fmt::format("decode: id {} at position {} is not in [0, {})", ids[i], i, vocab_size()));
    }
    text += detokenizer.push(ids[i]);
  }
  text += detokenizer.finish();
  return text;
}

}  // namespace tokamak::text
