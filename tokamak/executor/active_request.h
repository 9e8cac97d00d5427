// SPDX-License-Identifier: Apache-2.0
// A request inside the executor: its state machine and everything that belongs to it. Of a request
// for several answers there is one until its prompt is computed; then fork() makes one of each
// further answer, which take the pages of the prompt from the prefix index.
//
//            admit              finish(stop | length | error)
//   queued ---------> running -------------------------------> finished
//     |  ^              |  |                                      ^
//     |  '--------------'  '--- finish(cancelled | deadline) -----|
//     |  requeue, preempt                                         |
//     '------- finish(cancelled | deadline | error) --------------'
//
// Each arrow is one method, and nothing else changes the state. Steps that were launched with it
// and not handed out are under way for it: it counts what they compute and sample, so that the next
// step goes on behind them, also from a token that nobody knows yet. Touched by the step loop's
// thread only; what other threads see is in ResponseQueue.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tokamak/executor/fair_order.h"
#include "tokamak/executor/kv_cache.h"
#include "tokamak/executor/outputs.h"
#include "tokamak/executor/request.h"
#include "tokamak/executor/scheduler.h"
#include "tokamak/executor/token_stream.h"
#include "tokamak/runtime/session.h"

namespace tokamak::executor {

/// A request of priority p is as urgent as if it had come p * priority_seconds earlier.
TimePoint queued_since(TimePoint arrival, int priority, double priority_seconds);

class ActiveRequest {
 public:
  enum class State { kQueued, kRunning, kFinished };

  /// `number` orders requests that come at the same time. `queued_since` orders all: earlier
  /// is more urgent. `seed` is that of answer 0.
  ActiveRequest(Request request,
                uint64_t number,
                uint64_t seed,
                Answer answer,
                TimePoint arrival,
                TimePoint queued_since);

  State state() const { return state_; }
  bool running() const { return state_ == State::kRunning; }
  bool finished() const { return state_ == State::kFinished; }
  /// It is in the queue of requests: it, or what it was forked from, never held pages.
  bool in_queue() const { return state_ == State::kQueued && !held_pages() && index_ == 0; }
  bool held_pages() const { return timing_.admission.has_value(); }

  /// True if its request never ran before.
  bool admit(TimePoint now);
  /// Gives the pages back; what nobody else publishes or uses will be computed again. Nothing of
  /// the answer is lost. Not with a step under way.
  void requeue(KvCache& cache);
  /// The same, for others to have the pages; is counted.
  void preempt(KvCache& cache);
  /// Its next step makes it one of more than `num_tokens` tokens, and it is none yet.
  bool outgrows(int64_t num_tokens) const { return !keys_.is_long && num_wanted() > num_tokens; }
  /// From now on its keys and values are those of a long sequence. Not while running.
  void lengthen();
  /// Gives the pages back and ends the stream, also of answers that are not forked yet. `last` is
  /// the token that ends this answer, if one does.
  void finish(FinishReason reason,
              StopReason stop,
              TimePoint now,
              KvCache& cache,
              std::optional<NewToken> last = {});
  void fail(Error error, TimePoint now, KvCache& cache);

  /// Takes the next pages that are published already instead of computing them, now that it is
  /// admitted and before each chunk of its prompt. Returns the prompt tokens that count as hits.
  int64_t adopt(KvCache& cache);
  /// Sees to pages for the next `num_tokens` tokens.
  void grow(int64_t num_tokens, KvCache& cache);
  /// A step that computes the next `num_tokens` tokens is under way; row `row` of its logits is the
  /// new token's, -1: it samples none.
  void launched(int64_t num_tokens, int32_t row);
  /// Gives back the pages of a step that was not launched.
  void trim(KvCache& cache);
  /// What the steps under way do for it is not taken.
  void rewind(KvCache& cache);
  /// A row of the step could not be decided: rewinds, and sees to it that the next one can.
  void undecided(KvCache& cache);
  /// Takes the logprobs of the next prompt token.
  void scored(runtime::Sampled sampled);
  /// A step is done: `num_tokens` more are in the cache; publishes the pages that are full.
  /// Finishes a request that asked for no answer.
  void computed(int64_t num_tokens, TimePoint now, KvCache& cache);
  /// Once the prompt is computed: the further answers of its request.
  void fork(std::vector<std::unique_ptr<ActiveRequest>>& siblings);
  /// Takes the token that was sampled: adds it to the stream, or finishes.
  void sampled(runtime::Sampled sampled, TimePoint now, KvCache& cache);

  /// Of what was handed out: the next step computes its last token, which was sampled in the one
  /// before.
  bool decoding() const;
  Claim claim() const;
  bool cancelled() const { return responses_->cancelled.load(std::memory_order_relaxed); }
  bool expired(TimePoint now) const { return request_->deadline && *request_->deadline <= now; }
  const std::optional<TimePoint>& deadline() const { return request_->deadline; }
  /// While it waits, `pages` are those that it would take from `cache`.
  Demand demand(const KvCache& cache);
  const Request& request() const { return *request_; }  // Without its prompt.
  std::span<const int32_t> tokens() const { return tokens_; }
  int64_t num_cached() const { return num_cached_; }
  /// Those, and the ones that the steps under way compute.
  int64_t num_computed() const { return num_cached_ + under_way_.tokens; }
  /// Of the token at a position: runtime::unknown_token() if the step under way samples it.
  int32_t token_id(int64_t position) const;
  /// The logprobs of the token behind `position` are asked for.
  bool scores(int64_t position) const;
  /// The next step can be built before one with rows of logits of it is handed out; `samples`: the
  /// last row gives its next token.
  bool may_be_followed(bool samples) const {
    return !undecided_ && (!samples || num_answers() == 1);
  }
  /// Position of the next token to be scored.
  int64_t next_scored() const { return num_scored_; }
  const PageTable& pages() const { return pages_; }
  bool is_long() const { return keys_.is_long; }
  size_t num_published() const { return num_published_; }
  /// What the sampler needs for the token at `position`: to score it, if the prompt has it.
  runtime::SampleContext sample_context(int64_t position) const;
  FinishReason finish_reason() const { return finish_reason_; }
  /// Those that end when it does.
  int64_t num_answers() const { return forked_ ? 1 : request_->n; }
  TimePoint arrival() const { return timing_.arrival; }
  size_t prompt_size() const { return prompt_size_; }
  const std::shared_ptr<ResponseQueue>& responses() const { return responses_; }

 private:
  /// Answer `index` of a request whose prompt is computed.
  ActiveRequest(const ActiveRequest& first, int64_t index);
  int64_t end_scored() const;
  int64_t num_known() const { return static_cast<int64_t>(tokens_.size()); }
  /// Tokens whose keys and values are needed, the one that a step under way samples included.
  int64_t num_wanted() const;
  void find_pages(const KvCache& cache);

  struct UnderWay {
    int64_t tokens = 0;   // Computed.
    int64_t samples = 0;  // Tokens that are not in tokens_ yet.
    int32_t row = -1;     // Of the newest step's logits.
  };

  const uint64_t number_, seed_;
  const int64_t index_ = 0;
  const size_t prompt_size_;
  const TimePoint queued_since_;
  State state_ = State::kQueued;
  FinishReason finish_reason_ = FinishReason::kStop;
  bool forked_ = false;          // Stands for its own answer alone.
  std::vector<int32_t> tokens_;  // Prompt and output.
  PrefixKeys keys_;              // Of tokens_.
  PageTable pages_;
  PageTable found_;           // Pages behind those that hold the tokens after; as of the last look.
  size_t num_published_ = 0;  // Of pages_, the first that others may share.
  int64_t num_cached_ = 0;    // Of tokens_, those whose keys and values are in pages_.
  UnderWay under_way_;
  bool undecided_ = false;     // The next row is decided by a step that none follows.
  int64_t cached_tokens_ = 0;  // Of the prompt, those that were not computed for it.
  bool requeued_ = false;
  int64_t num_preemptions_ = 0;
  Answer answer_;
  std::string text_;                            // Of the token at hand; kept for its memory.
  std::vector<TokenLogprobs> prompt_logprobs_;  // Until they are sent.
  int64_t num_scored_ = 0;                      // Of the tokens of the prompt that are to be.
  double cumulative_logprob_ = 0;
  Timing timing_;
  std::optional<Error> error_;
  std::shared_ptr<ResponseQueue> responses_;
  // Shared by all its answers. Its prompt was moved to tokens_.
  std::shared_ptr<const Request> request_;
};

}  // namespace tokamak::executor
