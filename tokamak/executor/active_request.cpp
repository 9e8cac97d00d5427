// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/active_request.h"

#include <tuple>

namespace tokamak::executor {

ActiveRequest::ActiveRequest(Request request,
                             uint64_t number,
                             uint64_t seed,
                             Answer answer,
                             TimePoint arrival,
                             TimePoint queued_since)
    : request_(std::move(request)),
      number_(number),
      seed_(seed),
      prompt_size_(request_.prompt.size()),
      queued_since_(queued_since),
      tokens_(std::move(request_.prompt)),
      answer_(std::move(answer)) {
  timing_.arrival = arrival;
}

void ActiveRequest::admit(TimePoint now) {
  TKM_CHECK(state_ == State::kQueued, "admit in state {}", static_cast<int>(state_));
  state_ = State::kRunning;
  if (!timing_.admission) timing_.admission = now;
}

void ActiveRequest::preempt(KvCache& cache) {
  TKM_CHECK(state_ == State::kRunning, "preempt in state {}", static_cast<int>(state_));
  state_ = State::kQueued;
  cache.release(pages_);
  num_cached_ = 0;
}

void ActiveRequest::finish(FinishReason reason, StopReason stop, TimePoint now, KvCache& cache) {
  TKM_CHECK(state_ != State::kFinished, "request {} finished twice", number_);
  state_ = State::kFinished;
  finish_reason_ = reason;
  cache.release(pages_);
  timing_.finish = now;
  Finish finish;
  finish.reason = reason;
  finish.stop_reason = std::move(stop);
  finish.usage.prompt_tokens = static_cast<int64_t>(prompt_size_);
  finish.usage.completion_tokens = answer_.num_tokens();
  finish.timing = timing_;
  finish.error = std::move(error_);
  std::string rest;
  answer_.finish(rest);
  responses_->finish(rest, std::move(finish));
}

void ActiveRequest::fail(Error error, TimePoint now, KvCache& cache) {
  error_ = std::move(error);
  finish(FinishReason::kError, {}, now, cache);
}

void ActiveRequest::grow(int64_t num_tokens, KvCache& cache) {
  const bool grown = cache.grow(pages_, num_cached_ + num_tokens);
  TKM_CHECK(grown,
            "request {} needs pages for {} tokens, {} pages are free",
            number_,
            num_cached_ + num_tokens,
            cache.free_pages());
}

void ActiveRequest::sampled(runtime::Sampled sampled, TimePoint now, KvCache& cache) {
  tokens_.push_back(sampled.token);
  timing_.last_token = now;
  if (!timing_.first_token) timing_.first_token = now;
  text_.clear();
  auto end = answer_.push(sampled.token, text_);
  std::optional<TokenLogprobs> logprobs;
  if (request_.sampling.logprobs >= 0) {
    logprobs = TokenLogprobs{sampled.logprob, std::move(sampled.top_logprobs)};
  }
  responses_->push(sampled.token, text_, std::move(logprobs));
  if (end) finish(end->reason, std::move(end->stop_reason), now, cache);
}

bool ActiveRequest::decoding() const {
  const int64_t num_tokens = static_cast<int64_t>(tokens_.size());
  return num_cached_ + 1 == num_tokens && answer_.num_tokens() > 0;
}

bool ActiveRequest::before(const ActiveRequest& other) const {
  return std::tie(queued_since_, number_) < std::tie(other.queued_since_, other.number_);
}

Demand ActiveRequest::demand() const {
  return {running(), static_cast<int64_t>(tokens_.size()), num_cached_};
}

runtime::SampleContext ActiveRequest::sample_context() const {
  runtime::SampleContext context;
  context.params = &request_.sampling;
  context.prompt = std::span(tokens_).first(prompt_size_);
  context.output = std::span(tokens_).subspan(prompt_size_);
  context.banned = answer_.banned();
  context.seed = seed_;
  context.position = static_cast<int64_t>(tokens_.size());
  return context;
}

}  // namespace tokamak::executor
