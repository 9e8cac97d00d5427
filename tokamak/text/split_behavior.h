// SPDX-License-Identifier: Apache-2.0
// What becomes of the matches of a pattern when a text is split by it.
#pragma once

#include <string_view>
#include <vector>

#include "tokamak/text/component.h"
#include "tokamak/text/pre_tokenizer.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {

enum class SplitBehavior {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous,  ///< Neighbouring matches are one piece.
};
/// Errors: corrupt.
Result<SplitBehavior> get_behavior(const Component& component,
                                   std::optional<SplitBehavior> fallback);

/// Takes the consecutive parts of a text, each a match or a gap between matches, and emits pieces.
class BehaviorSplitter {
 public:
  BehaviorSplitter(Piece piece, SplitBehavior behavior, PreTokenizer::Emit emit)
      : piece_(piece), behavior_(behavior), emit_(emit) {}

  /// The part from the end of the last one to `end`. A match may be empty, a gap is not.
  void add(size_t end, bool is_match);
  void finish();

 private:
  void emit_up_to(size_t end);

  Piece piece_;
  SplitBehavior behavior_;
  PreTokenizer::Emit emit_;
  size_t begin_ = 0;  // Of what is held back: [begin_, end_).
  size_t end_ = 0;
  bool any_ = false;
  bool previous_match_ = false;
};

/// Splits by a predicate on characters.
template <typename IsMatch>
void split_by_character(Piece piece,
                        SplitBehavior behavior,
                        PreTokenizer::Emit emit,
                        IsMatch is_match) {
  BehaviorSplitter splitter(piece, behavior, emit);
  size_t gap = 0;
  for (size_t i = 0; i < piece.text.size();) {
    CodePoint c = decode_utf8(piece.text.data() + i);
    if (is_match(c.value)) {
      if (i > gap) splitter.add(i, false);
      gap = i + c.size;
      splitter.add(gap, true);
    }
    i += c.size;
  }
  if (gap < piece.text.size()) splitter.add(piece.text.size(), false);
  splitter.finish();
}

/// The pre-tokenizers that split by classes of characters: Digits, Punctuation, Whitespace,
/// WhitespaceSplit, BertPreTokenizer, CharDelimiterSplit, FixedLength; null for other types.
Result<std::unique_ptr<PreTokenizer>> make_class_pre_tokenizer(const Component& component);

}  // namespace tokamak::text
