// SPDX-License-Identifier: Apache-2.0
// A request inside the executor: its state machine and everything that belongs to it.
//
//            admit              finish(stop | length | error)
//   queued ---------> running -------------------------------> finished
//     |  ^              |  |                                      ^
//     |  '--------------'  '--- finish(cancelled | deadline) -----|
//     |      preempt                                              |
//     '------- finish(cancelled | deadline | error) --------------'
//
// Each arrow is one method, and nothing else changes the state. Touched by the step loop's thread
// only; what other threads see is in ResponseQueue.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tokamak/executor/kv_cache.h"
#include "tokamak/executor/outputs.h"
#include "tokamak/executor/request.h"
#include "tokamak/executor/scheduler.h"
#include "tokamak/executor/token_stream.h"

namespace tokamak::executor {

class ActiveRequest {
 public:
  enum class State { kQueued, kRunning, kFinished };

  /// `number` orders requests that come at the same time. `queued_since` orders all: earlier
  /// is more urgent.
  ActiveRequest(Request request,
                uint64_t number,
                uint64_t seed,
                Answer answer,
                TimePoint arrival,
                TimePoint queued_since);

  State state() const { return state_; }
  bool running() const { return state_ == State::kRunning; }
  bool finished() const { return state_ == State::kFinished; }

  void admit(TimePoint now);
  /// Gives the pages back; what was computed will be computed again. Nothing of the answer is lost.
  void preempt(KvCache& cache);
  /// Gives the pages back and ends the stream.
  void finish(FinishReason reason, StopReason stop, TimePoint now, KvCache& cache);
  void fail(Error error, TimePoint now, KvCache& cache);

  /// Sees to pages for the next `num_tokens` tokens.
  void grow(int64_t num_tokens, KvCache& cache);
  /// `num_tokens` more are in the cache.
  void computed(int64_t num_tokens) { num_cached_ += num_tokens; }
  /// Takes the token that was sampled: adds it to the stream, or finishes.
  void sampled(runtime::Sampled sampled, TimePoint now, KvCache& cache);

  /// The next step computes its last token, which was sampled in the one before.
  bool decoding() const;
  bool before(const ActiveRequest& other) const;
  bool cancelled() const { return responses_->cancelled.load(std::memory_order_relaxed); }
  bool expired(TimePoint now) const { return request_.deadline && *request_.deadline <= now; }
  const std::optional<TimePoint>& deadline() const { return request_.deadline; }
  Demand demand() const;
  std::span<const int32_t> tokens() const { return tokens_; }
  int64_t num_cached() const { return num_cached_; }
  const PageTable& pages() const { return pages_; }
  runtime::SampleContext sample_context() const;
  FinishReason finish_reason() const { return finish_reason_; }
  const std::shared_ptr<ResponseQueue>& responses() const { return responses_; }

 private:
  Request request_;  // Its prompt is moved to tokens_.
  const uint64_t number_, seed_;
  const size_t prompt_size_;
  const TimePoint queued_since_;
  State state_ = State::kQueued;
  FinishReason finish_reason_ = FinishReason::kStop;
  std::vector<int32_t> tokens_;  // Prompt and output.
  PageTable pages_;
  int64_t num_cached_ = 0;  // Of tokens_, those whose keys and values are in pages_.
  Answer answer_;
  std::string text_;  // Of the token at hand; kept for its memory.
  Timing timing_;
  std::optional<Error> error_;
  std::shared_ptr<ResponseQueue> responses_ = std::make_shared<ResponseQueue>();
};

}  // namespace tokamak::executor
