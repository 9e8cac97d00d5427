// SPDX-License-Identifier: Apache-2.0
// What goes into the executor and what comes out: a request, and the responses of its stream.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokamak/base/result.h"
#include "tokamak/runtime/sampling.h"
#include "tokamak/runtime/session.h"

namespace tokamak::executor {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

inline constexpr int kMaxPriority = 100;
inline constexpr int64_t kMaxAnswers = 128;
inline constexpr size_t kMaxSaltBytes = 256;

/// For whom a request is served. Keys take turns, and within a key its groups do: the requests of
/// one client that belong together, such as the prompts of a list.
struct Owner {
  int64_t key = -1;
  uint64_t group = 0;
  friend auto operator<=>(const Owner&, const Owner&) = default;
};

struct Request {
  std::string id;               ///< The caller's name for it, for logs; may be empty.
  std::vector<int32_t> prompt;  ///< Token ids, at least one.
  runtime::SamplingParams sampling;
  Owner owner;                        ///< By default all requests are of one, and by urgency.
  int priority = 0;                   ///< Higher goes first. [-100, 100]
  std::optional<TimePoint> deadline;  ///< Ends the request wherever it is, kDeadline.
  bool skip_special_tokens = true;    ///< In the text of the answer.
  int64_t n = 1;  ///< Answers to the prompt, which is computed once. Seeds: that of the sampling,
                  ///< plus the answer's index. [1, 128]
  std::string cache_salt;  ///< Requests share cached pages only with those of the same salt. At
                           ///< most 256 bytes.
};

enum class FinishReason {
  kStop,       ///< End of sequence, a stop token or a stop text.
  kLength,     ///< max_tokens.
  kCancelled,  ///< By the caller, or the executor stopped.
  kDeadline,
  kError,
};
constexpr auto enum_names(FinishReason) {
  return std::array<std::string_view, 5>{"stop", "length", "cancelled", "deadline", "error"};
}

/// What stopped the answer: nothing (the model's end of sequence, or another reason), the stop
/// text, or the stop token.
using StopReason = std::variant<std::monostate, std::string, int32_t>;

/// Of one answer; prompt_tokens and cached_tokens are the same for all answers to a prompt.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;  ///< All that were sampled, those of a stop included.
  int64_t cached_tokens = 0;      ///< Of the prompt, not computed but taken from the prefix cache.
};

/// Points of a request's life. Time to first token: first_token - arrival. Time per output token:
/// (last_token - first_token) / (completion_tokens - 1).
struct Timing {
  TimePoint arrival;
  std::optional<TimePoint> admission;  ///< First time that it held pages.
  std::optional<TimePoint> first_token, last_token;
  TimePoint finish;
};

struct Finish {
  FinishReason reason = FinishReason::kStop;
  StopReason stop_reason;
  Usage usage;
  Timing timing;
  /// How often the answer gave its pages back to others and was computed again. What happened
  /// before the answers to a prompt were told apart is answer 0's alone, so that all of them add up
  /// to ExecutorStats::preemptions.
  int64_t num_preemptions = 0;
  double cumulative_logprob = 0;  ///< Of the answer, if SamplingParams::asks_logprobs().
  std::optional<Error> error;     ///< With kError.
};

/// The logprobs of one token of the answer, if SamplingParams::asks_logprobs().
struct TokenLogprobs {
  float logprob = 0;
  std::vector<runtime::TokenLogprob> top;  ///< Best first, those of logprob_token_ids too.
};

/// What is new in one answer since the response before it. The texts of all responses of one index
/// joined are the answer.
struct Response {
  int64_t index = 0;            ///< Which of Request::n answers.
  std::vector<int32_t> tokens;  ///< Stop and end tokens too.
  std::string text;  ///< Whole characters; lags behind `tokens` while a stop text may be beginning.
  std::vector<TokenLogprobs> logprobs;         ///< One a token, or none.
  std::vector<TokenLogprobs> prompt_logprobs;  ///< In the first response of index 0, if they were
                                               ///< asked for: of prompt tokens 1, 2, …
  std::optional<Finish> finish;                ///< Of the last response of this index.
};

/// What the executor refuses before it queues a request: an empty or overlong prompt, ids and
/// settings out of range, more pages than there are, stop texts that are not UTF-8. Errors:
/// invalid, with the numbers.
Result<void> validate(const Request& request, const runtime::SessionInfo& info);

}  // namespace tokamak::executor
