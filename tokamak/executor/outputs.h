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

/// Stop texts made ready to be looked for, each by its own Knuth-Morris-Pratt automaton (SIAM J.
/// Comput. 6, 1977), linear in the text. Immutable: all answers to a request share it.
struct StopPatterns {
  struct Pattern {
    std::string text;
    std::vector<int32_t> borders;  ///< Of each prefix: the longest proper one that is its suffix.
    bool sees_hidden = false;      ///< It is looked for in the text with its hidden parts.
    /// Of a text that ends with `matched` bytes of the stop and then gets `byte`: how many it ends
    /// with now.
    int32_t advance(int32_t matched, char byte) const;
  };

  /// `hidden_by`: if not null, this tokenizer's special tokens are hidden parts of the text. A stop
  /// that holds one can only be found where those count.
  explicit StopPatterns(const std::vector<std::string>& stops,
                        bool included = false,
                        const text::Tokenizer* hidden_by = nullptr);

  std::vector<Pattern> patterns;
  bool included = false;
  bool see_hidden = false;  ///< Any of them.
};

/// Finds stop texts in a text that comes in pieces. The text ends before (or after, if stops are
/// included) the stop that is complete first, the longest of those that end at the same byte: how
/// the text is split makes no difference. What might be the beginning of a stop that is not part of
/// the text is held back, and no more than that.
class StopTexts {
 public:
  explicit StopTexts(std::shared_ptr<const StopPatterns> patterns)
      : patterns_(std::move(patterns)), matched_(patterns_->patterns.size(), 0) {}
  /// Takes the next piece and appends to `out` what certainly belongs to the answer. Returns which
  /// stop ends it, if one does; nothing may follow. With `may_stop` false a stop that is complete
  /// in this piece is text like other text.
  std::optional<size_t> push(std::string_view piece, bool may_stop, std::string& out) {
    return push(piece, /*hidden=*/false, may_stop, out);
  }
  /// The same of a piece that is not shown, unless it belongs to a stop that is included.
  std::optional<size_t> push_hidden(std::string_view piece, bool may_stop, std::string& out) {
    return push(piece, /*hidden=*/true, may_stop, out);
  }
  /// Appends what is held back, when the text ends for another reason.
  void finish(std::string& out);

 private:
  std::optional<size_t> push(std::string_view piece, bool hidden, bool may_stop, std::string& out);
  std::optional<size_t> advance(char byte, bool hidden);
  void end_with(size_t stop, std::string& out);
  size_t bytes_of(const StopPatterns::Pattern& pattern, int32_t length) const;
  size_t bytes_to_hold() const;
  void release(size_t bytes, std::string& out);

  std::shared_ptr<const StopPatterns> patterns_;
  std::vector<int32_t> matched_;  // Of each stop: its longest prefix that the text ends with.
  std::string held_;
  std::vector<bool> hidden_;  // Of each byte of held_, if any stop sees hidden ones.
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

  /// Tokens that the answer never has, and tokens that it does not begin with. Before push().
  void suppress(std::span<const int32_t> always, std::span<const int32_t> at_begin);

  /// Takes a sampled token and appends to `text` what became certain. Returns why the answer ends
  /// with this token, if it does; then `text` is complete.
  std::optional<End> push(int32_t token, std::string& text);
  /// Appends what is held back, when the answer ends for a reason that is not in its tokens;
  /// nothing if it has ended already.
  void finish(std::string& text);

  int64_t num_tokens() const { return num_tokens_; }
  /// Tokens that must not be sampled as token `index` of the answer: those that end it, before
  /// min_tokens, and those that are suppressed.
  std::span<const int32_t> banned(int64_t index) const;

 private:
  /// The answer's text goes on where the prompt's ended: its first word keeps the space before it.
  void read_prompt(std::span<const int32_t> prompt);
  std::optional<StopReason> stopping_token(int32_t token) const;
  /// What stands for the token in the text, though it is not shown, where a stop may see it.
  std::string_view hidden_text(int32_t token) const;

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::optional<text::Detokenizer> detokenizer_;
  std::shared_ptr<const StopPatterns> patterns_;
  StopTexts stops_;
  std::vector<int32_t> end_tokens_;  // First num_eos_ of eos, then the request's.
  size_t num_eos_ = 0;
  bool skip_special_ = true;
  // Of the first token, if it has some of its own; of tokens before min_tokens; of the others.
  std::vector<int32_t> banned_first_, banned_early_, banned_;
  int64_t min_tokens_ = 0, max_tokens_ = 0;
  int64_t num_tokens_ = 0;
  bool ended_ = false;
};

}  // namespace tokamak::executor
