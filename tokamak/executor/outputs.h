// SPDX-License-Identifier: Apache-2.0
// From sampled tokens to the answer: its text, and where it ends.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/executor/request.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::executor {

/// Finds stop texts in a text that comes in pieces. The text ends before (or after, if stops are
/// included) the stop that is complete first, the longest of those that end at the same byte: how
/// the text is split makes no difference. What might be the beginning of a stop that is not part of
/// the text is held back, and no more than that. Each stop is followed by its own
/// Knuth-Morris-Pratt automaton (SIAM J. Comput. 6, 1977), linear in the text.
class StopTexts {
 public:
  explicit StopTexts(const std::vector<std::string>& stops, bool included = false);
  /// Takes the next piece and appends to `out` what certainly belongs to the answer. Returns which
  /// stop ends it, if one does; nothing may follow. With `may_stop` false a stop that is complete
  /// in this piece is text like other text.
  std::optional<size_t> push(std::string_view piece, bool may_stop, std::string& out);
  /// Appends what is held back, when the text ends for another reason.
  void finish(std::string& out);

 private:
  struct Pattern {
    std::string text;
    std::vector<int32_t> borders;  // Of each prefix: the longest proper one that is its suffix.
    int32_t matched = 0;           // Longest prefix that the text so far ends with.
    bool advance(char byte);       // True if the text now ends with all of it.
  };
  std::vector<Pattern> patterns_;
  bool included_;
  std::string held_;
};

/// The answer to one request. Without a tokenizer it has no text.
class Answer {
 public:
  struct End {
    FinishReason reason = FinishReason::kStop;
    StopReason stop_reason;
  };

  /// `eos_ids` end the answer unless the request ignores them.
  Answer(const Request& request,
         std::shared_ptr<const text::Tokenizer> tokenizer,
         std::span<const int64_t> eos_ids);

  /// Takes a sampled token and appends to `text` what became certain. Returns why the answer ends
  /// with this token, if it does; then `text` is complete.
  std::optional<End> push(int32_t token, std::string& text);
  /// Appends what is held back, when the answer ends for a reason that is not in its tokens;
  /// nothing if it has ended already.
  void finish(std::string& text);

  int64_t num_tokens() const { return num_tokens_; }
  /// Tokens that must not be sampled as token `index` of the answer: those that end it, before
  /// min_tokens.
  std::span<const int32_t> banned(int64_t index) const;

 private:
  /// The answer's text goes on where the prompt's ended: its first word keeps the space before it.
  void read_prompt(std::span<const int32_t> prompt);
  std::optional<StopReason> stopping_token(int32_t token) const;

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::optional<text::Detokenizer> detokenizer_;
  StopTexts stops_;
  std::vector<std::string> stop_texts_;
  std::vector<int32_t> end_tokens_;  // First num_eos_ of eos, then the request's.
  size_t num_eos_ = 0;
  bool include_stops_ = false;
  int64_t min_tokens_ = 0, max_tokens_ = 0;
  int64_t num_tokens_ = 0;
  bool ended_ = false;
};

}  // namespace tokamak::executor
