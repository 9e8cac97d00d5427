// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/outputs.h"

#include <algorithm>

namespace tokamak::executor {

namespace {

bool holds_special(const text::Tokenizer& tokenizer, std::string_view stop) {
  const auto ids = tokenizer.encode(stop, {.add_special_tokens = false});
  return ids.ok() && std::any_of(ids->begin(), ids->end(), [&](text::TokenId id) {
           return tokenizer.is_special(id);
         });
}

}  // namespace

StopPatterns::StopPatterns(const std::vector<std::string>& stops,
                           bool included,
                           const text::Tokenizer* hidden_by)
    : included(included) {
  for (const std::string& stop : stops) {
    Pattern pattern{stop, std::vector<int32_t>(stop.size(), 0)};
    for (size_t i = 1; i < stop.size(); ++i) {
      int32_t border = pattern.borders[i - 1];
      while (border > 0 && stop[i] != stop[border]) border = pattern.borders[border - 1];
      pattern.borders[i] = border + (stop[i] == stop[border]);
    }
    pattern.sees_hidden = hidden_by && holds_special(*hidden_by, stop);
    see_hidden = see_hidden || pattern.sees_hidden;
    patterns.push_back(std::move(pattern));
  }
}

int32_t StopPatterns::Pattern::advance(int32_t matched, char byte) const {
  const int32_t length = static_cast<int32_t>(text.size());
  while (matched == length || (matched > 0 && text[matched] != byte))
    matched = borders[matched - 1];
  return matched + (text[matched] == byte);
}

std::optional<size_t> StopTexts::push(std::string_view piece,
                                      bool hidden,
                                      bool may_stop,
                                      std::string& out) {
  if (matched_.empty()) {
    if (!hidden) out += piece;
    return {};
  }
  for (char byte : piece) {
    held_ += byte;
    if (patterns_->see_hidden) hidden_.push_back(hidden);
    const auto stop = advance(byte, hidden);
    if (!stop || !may_stop) continue;
    end_with(*stop, out);
    return stop;
  }
  release(held_.size() - bytes_to_hold(), out);
  return {};
}

/// The longest of the stops that are complete with `byte`.
std::optional<size_t> StopTexts::advance(char byte, bool hidden) {
  std::optional<size_t> stop;
  const auto& patterns = patterns_->patterns;
  for (size_t i = 0; i < patterns.size(); ++i) {
    if (hidden && !patterns[i].sees_hidden) continue;
    matched_[i] = patterns[i].advance(matched_[i], byte);
    if (matched_[i] != static_cast<int32_t>(patterns[i].text.size())) continue;
    if (!stop || patterns[i].text.size() > patterns[*stop].text.size()) stop = i;
  }
  return stop;
}

void StopTexts::end_with(size_t stop, std::string& out) {
  const StopPatterns::Pattern& pattern = patterns_->patterns[stop];
  release(held_.size() - bytes_of(pattern, static_cast<int32_t>(pattern.text.size())), out);
  // What is left of it: its beginning may have been given out already.
  if (patterns_->included && pattern.sees_hidden) hidden_.assign(held_.size(), false);
  if (patterns_->included) finish(out);
  held_.clear();
  hidden_.clear();
}

/// The end of held_ in which the last `length` bytes that `pattern` sees are.
size_t StopTexts::bytes_of(const StopPatterns::Pattern& pattern, int32_t length) const {
  size_t left = static_cast<size_t>(length);
  if (!patterns_->see_hidden || pattern.sees_hidden) return std::min(left, held_.size());
  size_t begin = held_.size();
  while (left > 0 && begin > 0) left -= !hidden_[--begin];
  return held_.size() - begin;
}

size_t StopTexts::bytes_to_hold() const {
  size_t most = 0;
  for (size_t i = 0; i < matched_.size(); ++i) {
    // A stop that was complete but passed over counts by what of it may still begin another.
    const StopPatterns::Pattern& pattern = patterns_->patterns[i];
    const bool complete = matched_[i] == static_cast<int32_t>(pattern.text.size());
    most = std::max(most, bytes_of(pattern, complete ? pattern.borders.back() : matched_[i]));
  }
  if (!patterns_->included) return most;
  // What is shown in any case can go out; what is hidden, and what follows it, has to wait.
  const auto first =
      std::find(hidden_.end() - static_cast<ptrdiff_t>(patterns_->see_hidden ? most : 0),
                hidden_.end(),
                true);
  return static_cast<size_t>(hidden_.end() - first);
}

/// Gives out the first `bytes` of what is held, but for what is hidden.
void StopTexts::release(size_t bytes, std::string& out) {
  if (!patterns_->see_hidden) {
    out.append(held_, 0, bytes);
  } else {
    for (size_t i = 0; i < bytes; ++i) {
      if (!hidden_[i]) out += held_[i];
    }
    hidden_.erase(hidden_.begin(), hidden_.begin() + static_cast<ptrdiff_t>(bytes));
  }
  held_.erase(0, bytes);
}

void StopTexts::finish(std::string& out) {
  release(held_.size(), out);
}

Answer::Answer(const Request& request,
               std::shared_ptr<const text::Tokenizer> tokenizer,
               std::span<const int64_t> eos_ids)
    : tokenizer_(std::move(tokenizer)),
      patterns_(std::make_shared<const StopPatterns>(
          request.sampling.stop,
          request.sampling.include_stop_str_in_output,
          request.skip_special_tokens ? tokenizer_.get() : nullptr)),
      stops_(patterns_),
      skip_special_(request.skip_special_tokens),
      min_tokens_(request.sampling.min_tokens),
      max_tokens_(request.sampling.max_tokens) {
  if (tokenizer_) {
    detokenizer_.emplace(*tokenizer_, request.skip_special_tokens);
    read_prompt(request.prompt);
  }
  if (!request.sampling.ignore_eos) end_tokens_.assign(eos_ids.begin(), eos_ids.end());
  num_eos_ = end_tokens_.size();
  end_tokens_.insert(end_tokens_.end(),
                     request.sampling.stop_token_ids.begin(),
                     request.sampling.stop_token_ids.end());
  if (min_tokens_ > 0) banned_early_ = end_tokens_;
}

void Answer::suppress(std::span<const int32_t> always, std::span<const int32_t> at_begin) {
  banned_.assign(always.begin(), always.end());
  banned_early_.insert(banned_early_.end(), always.begin(), always.end());
  if (at_begin.empty()) return;
  banned_first_ = min_tokens_ > 0 ? banned_early_ : banned_;
  banned_first_.insert(banned_first_.end(), at_begin.begin(), at_begin.end());
}

void Answer::read_prompt(std::span<const int32_t> prompt) {
  constexpr size_t kEnough = 8;  // To be past the start of a text.
  for (int32_t id : prompt.last(std::min(prompt.size(), kEnough))) {
    if (id < tokenizer_->vocab_size()) detokenizer_->push(id);
  }
  // What the prompt leaves unfinished belongs to it and must not come out with the answer.
  detokenizer_->finish();
}

std::span<const int32_t> Answer::banned(int64_t index) const {
  if (index == 0 && !banned_first_.empty()) return banned_first_;
  return index < min_tokens_ ? banned_early_ : banned_;
}

std::optional<StopReason> Answer::stopping_token(int32_t token) const {
  const auto found = std::find(end_tokens_.begin(), end_tokens_.end(), token);
  if (found == end_tokens_.end() || num_tokens_ <= min_tokens_) return {};
  if (found - end_tokens_.begin() < static_cast<ptrdiff_t>(num_eos_)) return StopReason{};
  return StopReason{token};
}

std::string_view Answer::hidden_text(int32_t token) const {
  if (!patterns_->see_hidden || !skip_special_ || !tokenizer_->is_special(token)) return {};
  return tokenizer_->token(token);
}

std::optional<Answer::End> Answer::push(int32_t token, std::string& text) {
  ++num_tokens_;
  const auto stopping = stopping_token(token);
  std::string piece;
  std::string_view hidden;
  // The token that stops the answer is not part of its text, unless asked for. A model may have
  // more rows of logits than its tokenizer has tokens.
  if (detokenizer_ && (!stopping || patterns_->included) && token < tokenizer_->vocab_size()) {
    piece = detokenizer_->push(token);
    hidden = hidden_text(token);
  }
  const bool ends = stopping || num_tokens_ >= max_tokens_;
  if (ends && detokenizer_) piece += detokenizer_->finish();
  const bool may_stop = num_tokens_ >= min_tokens_;
  auto stop = stops_.push(piece, may_stop, text);
  if (!stop && !hidden.empty()) stop = stops_.push_hidden(hidden, may_stop, text);
  ended_ = ends || stop;
  if (stop) return End{FinishReason::kStop, patterns_->patterns[*stop].text};
  if (!ends) return {};
  stops_.finish(text);
  return stopping ? End{FinishReason::kStop, *stopping} : End{FinishReason::kLength, {}};
}

void Answer::finish(std::string& text) {
  if (std::exchange(ended_, true)) return;
  // The last of the text may complete a stop; what ended the answer first is still its reason.
  const bool may_stop = num_tokens_ >= min_tokens_;
  if (detokenizer_) stops_.push(detokenizer_->finish(), may_stop, text);
  stops_.finish(text);
}

}  // namespace tokamak::executor
