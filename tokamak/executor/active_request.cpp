// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/active_request.h"

#include <algorithm>

namespace tokamak::executor {

TimePoint queued_since(TimePoint arrival, int priority, double priority_seconds) {
  return arrival - std::chrono::duration_cast<Clock::duration>(
                       std::chrono::duration<double>(priority * priority_seconds));
}

ActiveRequest::ActiveRequest(Request request,
                             uint64_t number,
                             uint64_t seed,
                             Answer answer,
                             TimePoint arrival,
                             TimePoint queued_since)
    : number_(number),
      seed_(seed),
      prompt_size_(request.prompt.size()),
      queued_since_(queued_since),
      forked_(request.n == 1),
      tokens_(std::move(request.prompt)),
      keys_{.salt = request.cache_salt, .pages = {}},
      answer_(std::move(answer)),
      responses_(std::make_shared<ResponseQueue>(request.n)),
      request_(std::make_shared<const Request>(std::move(request))) {
  timing_.arrival = arrival;
}

ActiveRequest::ActiveRequest(const ActiveRequest& first, int64_t index)
    : number_(first.number_),
      seed_(first.seed_ + static_cast<uint64_t>(index)),
      index_(index),
      prompt_size_(first.prompt_size_),
      queued_since_(first.queued_since_),
      forked_(true),
      tokens_(first.tokens_),
      keys_(first.keys_),
      cached_tokens_(first.cached_tokens_),
      answer_(first.answer_),
      responses_(first.responses_),
      request_(first.request_) {
  timing_.arrival = first.timing_.arrival;
}

bool ActiveRequest::admit(TimePoint now) {
  TKM_CHECK(state_ == State::kQueued, "admit in state {}", static_cast<int>(state_));
  state_ = State::kRunning;
  if (timing_.admission) return false;
  timing_.admission = now;
  return index_ == 0;
}

void ActiveRequest::requeue(KvCache& cache) {
  TKM_CHECK(state_ == State::kRunning, "requeue in state {}", static_cast<int>(state_));
  TKM_CHECK(under_way_.tokens == 0, "requeue with {} tokens under way", under_way_.tokens);
  state_ = State::kQueued;
  requeued_ = true;
  cache.release(pages_);
  num_cached_ = 0;
  num_published_ = 0;
}

void ActiveRequest::preempt(KvCache& cache) {
  requeue(cache);
  ++num_preemptions_;
}

void ActiveRequest::lengthen() {
  TKM_CHECK(!running() && pages_.empty(), "a request grows long with {} pages", pages_.size());
  keys_.is_long = true;
  keys_.pages.clear();
}

void ActiveRequest::finish(FinishReason reason,
                           StopReason stop,
                           TimePoint now,
                           KvCache& cache,
                           std::optional<NewToken> last) {
  TKM_CHECK(state_ != State::kFinished, "request {} finished twice", number_);
  state_ = State::kFinished;
  finish_reason_ = reason;
  // What is in the pages of a request that failed may be the reason.
  cache.release(pages_, reason == FinishReason::kError);
  timing_.finish = now;
  Finish finish;
  finish.reason = reason;
  finish.stop_reason = std::move(stop);
  finish.usage.prompt_tokens = static_cast<int64_t>(prompt_size_);
  finish.usage.completion_tokens = answer_.num_tokens();
  finish.usage.cached_tokens = cached_tokens_;
  finish.timing = timing_;
  finish.num_preemptions = num_preemptions_;
  finish.cumulative_logprob = cumulative_logprob_;
  finish.error = std::move(error_);
  std::string rest;
  answer_.finish(rest);
  responses_->finish(index_, rest, finish, std::move(last));
  finish.num_preemptions = 0;
  for (int64_t index = 1; index < num_answers(); ++index) responses_->finish(index, rest, finish);
}

void ActiveRequest::fail(Error error, TimePoint now, KvCache& cache) {
  error_ = std::move(error);
  finish(FinishReason::kError, {}, now, cache);
}

void ActiveRequest::find_pages(const KvCache& cache) {
  // The last known token is always computed: its logits are asked for. So are tokens to be scored.
  int64_t most = num_known() - 1;
  if (num_scored_ < end_scored()) most = std::min(most, num_scored_);
  cache.find(pages_, most / op::kPageTokens, keys_, tokens_, found_);
}

int64_t ActiveRequest::adopt(KvCache& cache) {
  const int64_t missing = num_known() - num_cached_;
  if (missing <= op::kPageTokens || num_cached_ % op::kPageTokens != 0) return 0;
  if (under_way_.tokens > 0) return 0;
  TKM_CHECK(num_cached_ == static_cast<int64_t>(pages_.size()) * op::kPageTokens,
            "{} tokens in {} pages",
            num_cached_,
            pages_.size());
  find_pages(cache);
  cache.share(pages_, found_);
  const int64_t adopted = static_cast<int64_t>(found_.size()) * op::kPageTokens;
  num_cached_ += adopted;
  num_published_ += found_.size();
  // The prompt is asked for once: not again for each further answer, nor after a preemption.
  if (index_ > 0 || requeued_) return 0;
  cached_tokens_ += adopted;
  return adopted;
}

void ActiveRequest::grow(int64_t num_tokens, KvCache& cache) {
  const bool grown = cache.grow(pages_, num_computed() + num_tokens);
  TKM_CHECK(grown,
            "request {} needs pages for {} tokens, {} pages are available",
            number_,
            num_computed() + num_tokens,
            cache.available_pages());
}

void ActiveRequest::launched(int64_t num_tokens, int32_t row) {
  under_way_.tokens += num_tokens;
  under_way_.samples += row >= 0;
  under_way_.row = row;
}

void ActiveRequest::trim(KvCache& cache) {
  cache.shrink(pages_, num_computed());
}

void ActiveRequest::rewind(KvCache& cache) {
  under_way_ = {};
  trim(cache);
}

void ActiveRequest::undecided(KvCache& cache) {
  rewind(cache);
  undecided_ = true;
}

void ActiveRequest::scored(runtime::Sampled sampled) {
  undecided_ = false;
  prompt_logprobs_.push_back({sampled.logprob, std::move(sampled.top_logprobs)});
  ++num_scored_;
}

void ActiveRequest::computed(int64_t num_tokens, TimePoint now, KvCache& cache) {
  num_cached_ += num_tokens;
  under_way_.tokens -= num_tokens;
  const size_t full = static_cast<size_t>(num_cached_ / op::kPageTokens);
  while (num_published_ < full && cache.publish(pages_, num_published_, keys_, tokens_)) {
    ++num_published_;
  }
  if (num_cached_ < num_known() || answer_.num_tokens() > 0) return;
  responses_->push_prompt(std::exchange(prompt_logprobs_, {}));
  if (request_->sampling.max_tokens == 0) finish(FinishReason::kLength, {}, now, cache);
}

void ActiveRequest::fork(std::vector<std::unique_ptr<ActiveRequest>>& siblings) {
  if (std::exchange(forked_, true)) return;
  for (int64_t index = 1; index < request_->n; ++index) {
    siblings.push_back(std::unique_ptr<ActiveRequest>(new ActiveRequest(*this, index)));
  }
}

void ActiveRequest::sampled(runtime::Sampled sampled, TimePoint now, KvCache& cache) {
  tokens_.push_back(sampled.token);
  --under_way_.samples;
  undecided_ = false;
  timing_.last_token = now;
  if (!timing_.first_token) timing_.first_token = now;
  text_.clear();
  auto end = answer_.push(sampled.token, text_);
  std::optional<TokenLogprobs> logprobs;
  if (request_->sampling.asks_logprobs()) {
    cumulative_logprob_ += sampled.logprob;
    logprobs = TokenLogprobs{sampled.logprob, std::move(sampled.top_logprobs)};
  }
  NewToken token{sampled.token, text_, std::move(logprobs)};
  if (end) return finish(end->reason, std::move(end->stop_reason), now, cache, std::move(token));
  responses_->push(index_, std::move(token));
}

bool ActiveRequest::decoding() const {
  return num_cached_ + 1 == num_known() && answer_.num_tokens() > 0;
}

Claim ActiveRequest::claim() const {
  return {.owner = request_->owner,
          .arrival = timing_.arrival,
          .head_start = timing_.arrival - queued_since_,
          .number = number_,
          .index = index_,
          .running = running()};
}

int64_t ActiveRequest::end_scored() const {
  return index_ == 0 && request_->sampling.prompt_logprobs >= 0
             ? static_cast<int64_t>(prompt_size_) - 1
             : 0;
}

int32_t ActiveRequest::token_id(int64_t position) const {
  if (position < num_known()) return tokens_[position];
  TKM_CHECK(position == num_known() && under_way_.samples == 1 && under_way_.row >= 0,
            "the token at {} of {} with {} under way",
            position,
            num_known(),
            under_way_.samples);
  return runtime::unknown_token(under_way_.row);
}

bool ActiveRequest::scores(int64_t position) const {
  return position >= num_scored_ && position < end_scored();
}

int64_t ActiveRequest::num_wanted() const {
  // A last token is not computed, whatever it is.
  const bool has_last = under_way_.samples > 0 &&
                        answer_.num_tokens() + under_way_.samples >= request_->sampling.max_tokens;
  return num_known() + under_way_.samples - has_last;
}

Demand ActiveRequest::demand(const KvCache& cache) {
  Demand demand;
  demand.running = running();
  demand.num_tokens = num_wanted();
  demand.num_cached = num_computed();
  demand.samples = request_->sampling.max_tokens > 0;
  demand.first_scored = num_scored_;
  demand.end_scored = end_scored();
  if (running()) {
    demand.pages = std::span(pages_).first(num_published_);
  } else {
    find_pages(cache);
    demand.pages = found_;
  }
  return demand;
}

runtime::SampleContext ActiveRequest::sample_context(int64_t position) const {
  runtime::SampleContext context;
  context.params = &request_->sampling;
  context.prompt = std::span(tokens_).first(prompt_size_);
  context.output = std::span(tokens_).subspan(prompt_size_);
  context.banned = answer_.banned(position - static_cast<int64_t>(prompt_size_));
  context.seed = seed_;
  context.position = position;
  if (position < static_cast<int64_t>(prompt_size_)) context.given = tokens_[position];
  return context;
}

}  // namespace tokamak::executor
