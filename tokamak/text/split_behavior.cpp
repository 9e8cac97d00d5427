// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/split_behavior.h"

#include "tokamak/text/unicode.h"

namespace tokamak::text {

Result<SplitBehavior> get_behavior(const Component& component,
                                   std::optional<SplitBehavior> fallback) {
  if (fallback && !component.find("behavior")) return *fallback;
  TKM_ASSIGN(std::string name, component.get_string("behavior"));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return component.corrupt("behavior", fmt::format("'{}' is unknown", name));
}

void BehaviorSplitter::emit_up_to(size_t end) {
  if (end > begin_) {
    emit_({piece_.text.substr(begin_, end - begin_), piece_.at_start && begin_ == 0});
  }
  begin_ = end;
}

void BehaviorSplitter::add(size_t end, bool is_match) {
  switch (behavior_) {
    case SplitBehavior::kRemoved:
      if (is_match)
        begin_ = end;
      else
        emit_up_to(end);
      break;
    case SplitBehavior::kIsolated:
      emit_up_to(end);
      break;
    case SplitBehavior::kMergedWithPrevious:
      // A match joins the gap before it, but not another match.
      if (!(any_ && is_match && !previous_match_)) emit_up_to(end_);
      break;
    case SplitBehavior::kMergedWithNext:
      // A gap joins the match before it.
      if (!(any_ && !is_match && previous_match_)) emit_up_to(end_);
      break;
    case SplitBehavior::kContiguous:
      if (!(any_ && is_match == previous_match_)) emit_up_to(end_);
      break;
  }
  end_ = end;
  any_ = true;
  previous_match_ = is_match;
}

void BehaviorSplitter::finish() {
  if (behavior_ != SplitBehavior::kRemoved) emit_up_to(end_);
}

namespace {

class CharacterSplit : public PreTokenizer {
 public:
  using Predicate = bool (*)(char32_t);
  CharacterSplit(Predicate predicate, SplitBehavior behavior)
      : predicate_(predicate), behavior_(behavior) {}
  void split(Piece piece, Emit emit, EncodeState&) const override {
    split_by_character(piece, behavior_, emit, predicate_);
  }

 private:
  Predicate predicate_;
  SplitBehavior behavior_;
};

bool is_numeric(char32_t c) {
  return is_class(c, kNumber);
}
bool is_punctuation(char32_t c) {
  return is_class(c, kPunctuation8);
}
bool is_space(char32_t c) {
  return is_class(c, kSpace);
}

class DelimiterSplit : public PreTokenizer {
 public:
  explicit DelimiterSplit(char32_t delimiter) : delimiter_(delimiter) {}
  void split(Piece piece, Emit emit, EncodeState&) const override {
    split_by_character(
        piece, SplitBehavior::kRemoved, emit, [this](char32_t c) { return c == delimiter_; });
  }

 private:
  char32_t delimiter_;
};

/// \w+|[^\w\s]+
class Whitespace : public PreTokenizer {
 public:
  void split(Piece piece, Emit emit, EncodeState&) const override {
    auto kind = [](char32_t c) { return is_class(c, kWord) ? 1 : is_class(c, kSpace) ? 0 : 2; };
    size_t begin = 0;
    int current = 0;
    auto finish = [&](size_t end) {
      if (current != 0) emit({piece.text.substr(begin, end - begin), piece.at_start && begin == 0});
    };
    for (size_t i = 0; i < piece.text.size();) {
      CodePoint c = decode_utf8(piece.text.data() + i);
      if (int next = kind(c.value); next != current) {
        finish(i);
        current = next;
        begin = i;
      }
      i += c.size;
    }
    finish(piece.text.size());
  }
};

class Bert : public PreTokenizer {
 public:
  void split(Piece piece, Emit emit, EncodeState&) const override {
    auto words = [&](Piece word) {
      split_by_character(word, SplitBehavior::kIsolated, emit, is_punctuation);
    };
    split_by_character(piece, SplitBehavior::kRemoved, words, is_space);
  }
};

class FixedLength : public PreTokenizer {
 public:
  explicit FixedLength(int64_t length) : length_(length) {}
  void split(Piece piece, Emit emit, EncodeState&) const override {
    size_t begin = 0;
    int64_t count = 0;
    for (size_t i = 0; i < piece.text.size();) {
      i += utf8_size(piece.text[i]);
      if (++count == length_ || i == piece.text.size()) {
        emit({piece.text.substr(begin, i - begin), piece.at_start && begin == 0});
        begin = i;
        count = 0;
      }
    }
  }

 private:
  int64_t length_;
};

}  // namespace

Result<std::unique_ptr<PreTokenizer>> make_class_pre_tokenizer(const Component& component) {
  const std::string& type = component.type();
  std::unique_ptr<PreTokenizer> made;
  if (type == "Digits") {
    TKM_ASSIGN(bool individual, component.get_bool("individual_digits"));
    made = std::make_unique<CharacterSplit>(
        is_numeric, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  } else if (type == "Punctuation") {
    TKM_ASSIGN(SplitBehavior behavior, get_behavior(component, SplitBehavior::kIsolated));
    made = std::make_unique<CharacterSplit>(is_punctuation, behavior);
  } else if (type == "WhitespaceSplit") {
    made = std::make_unique<CharacterSplit>(is_space, SplitBehavior::kRemoved);
  } else if (type == "Whitespace") {
    made = std::make_unique<Whitespace>();
  } else if (type == "BertPreTokenizer") {
    made = std::make_unique<Bert>();
  } else if (type == "CharDelimiterSplit") {
    TKM_ASSIGN(char32_t delimiter, component.get_character("delimiter"));
    made = std::make_unique<DelimiterSplit>(delimiter);
  } else if (type == "FixedLength") {
    TKM_ASSIGN(int64_t length, component.get_int("length", 5));
    if (length < 1)
      return component.corrupt("length", fmt::format("must be positive, but is {}", length));
    made = std::make_unique<FixedLength>(length);
  }
  return made;
}

}  // namespace tokamak::text
