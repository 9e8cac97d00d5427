// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/outputs.h"

#include <algorithm>

namespace tokamak::executor {

StopTexts::StopTexts(const std::vector<std::string>& stops, bool included) : included_(included) {
  for (const std::string& stop : stops) {
    Pattern pattern{stop, std::vector<int32_t>(stop.size(), 0)};
    for (size_t i = 1; i < stop.size(); ++i) {
      int32_t border = pattern.borders[i - 1];
      while (border > 0 && stop[i] != stop[border]) border = pattern.borders[border - 1];
      pattern.borders[i] = border + (stop[i] == stop[border]);
    }
    patterns_.push_back(std::move(pattern));
  }
}

bool StopTexts::Pattern::advance(char byte) {
  const int32_t length = static_cast<int32_t>(text.size());
  while (matched == length || (matched > 0 && text[matched] != byte))
    matched = borders[matched - 1];
  matched += text[matched] == byte;
  return matched == length;
}

std::optional<size_t> StopTexts::push(std::string_view piece, bool may_stop, std::string& out) {
  if (patterns_.empty()) {
    out += piece;
    return {};
  }
  for (char byte : piece) {
    held_ += byte;
    std::optional<size_t> stop;
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (!patterns_[i].advance(byte) || !may_stop) continue;
      if (!stop || patterns_[i].text.size() > patterns_[*stop].text.size()) stop = i;
    }
    if (stop) {
      out.append(held_, 0, held_.size() - (included_ ? 0 : patterns_[*stop].text.size()));
      held_.clear();
      return stop;
    }
  }
  if (included_) {
    finish(out);
    return {};
  }
  // A stop that was complete but passed over counts by what of it may still begin another.
  int32_t beginning = 0;
  for (const Pattern& pattern : patterns_) {
    const bool complete = pattern.matched == static_cast<int32_t>(pattern.text.size());
    beginning = std::max(beginning, complete ? pattern.borders.back() : pattern.matched);
  }
  out.append(held_, 0, held_.size() - beginning);
  held_.erase(0, held_.size() - beginning);
  return {};
}

void StopTexts::finish(std::string& out) {
  out += held_;
  held_.clear();
}

Answer::Answer(const Request& request,
               std::shared_ptr<const text::Tokenizer> tokenizer,
               std::span<const int64_t> eos_ids)
    : tokenizer_(std::move(tokenizer)),
      stops_(request.sampling.stop, request.sampling.include_stop_str_in_output),
      stop_texts_(request.sampling.stop),
      include_stops_(request.sampling.include_stop_str_in_output),
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
  if (index >= min_tokens_) return {};
  return end_tokens_;
}

std::optional<StopReason> Answer::stopping_token(int32_t token) const {
  const auto found = std::find(end_tokens_.begin(), end_tokens_.end(), token);
  if (found == end_tokens_.end() || num_tokens_ <= min_tokens_) return {};
  if (found - end_tokens_.begin() < static_cast<ptrdiff_t>(num_eos_)) return StopReason{};
  return StopReason{token};
}

std::optional<Answer::End> Answer::push(int32_t token, std::string& text) {
  ++num_tokens_;
  const auto stopping = stopping_token(token);
  std::string piece;
  // The token that stops the answer is not part of its text, unless asked for. A model may have
  // more rows of logits than its tokenizer has tokens.
  if (detokenizer_ && (!stopping || include_stops_) && token < tokenizer_->vocab_size()) {
    piece = detokenizer_->push(token);
  }
  const bool ends = stopping || num_tokens_ >= max_tokens_;
  if (ends && detokenizer_) piece += detokenizer_->finish();
  const auto stop = stops_.push(piece, num_tokens_ >= min_tokens_, text);
  ended_ = ends || stop;
  if (stop) return End{FinishReason::kStop, stop_texts_[*stop]};
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
