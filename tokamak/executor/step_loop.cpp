// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/step_loop.h"

#include <algorithm>

#include "tokamak/base/log.h"

namespace tokamak::executor {
namespace {

double seconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

CapacityLimits capacity_limits(const ExecutorOptions& options, const runtime::SessionInfo& info) {
  // No more may run than fit one step, so that every answer grows in every step.
  const int64_t budget = batch_limits(options, info).budget_tokens;
  int64_t max_running = std::min({info.max_sequences, info.max_step_rows, budget});
  if (options.max_running > 0) max_running = std::min(max_running, options.max_running);
  return {info.num_pages, op::kPageTokens, max_running};
}

BatchLimits batch_limits(const ExecutorOptions& options, const runtime::SessionInfo& info) {
  int64_t budget = info.max_step_tokens;
  if (options.budget_tokens > 0) budget = std::min(budget, options.budget_tokens);
  return {budget, info.max_sequences, info.max_step_rows};
}

StepLoop::StepLoop(std::unique_ptr<runtime::Session> session,
                   const ExecutorOptions& options,
                   std::shared_ptr<Inbox> inbox)
    : session_(std::move(session)),
      options_(options),
      inbox_(std::move(inbox)),
      capacity_limits_(capacity_limits(options, session_->info())),
      batch_limits_(batch_limits(options, session_->info())),
      cache_(session_->info().num_pages) {
  publish();
}

StepLoop::~StepLoop() = default;

void StepLoop::run() {
  while (!inbox_->stopped()) {
    try {
      if (!turn()) inbox_->wait();
    } catch (const std::exception& failure) {
      // A bug outside of any one request. Ending all of them is what is left to go on with.
      base::log_warn("executor: {}", failure.what());
      for (auto& request : active_) {
        if (!request->finished()) fail(*request, base::internal_error(failure.what()));
      }
      forget_finished();
    }
  }
  take_arrivals();
  for (auto& request : active_) end(*request, FinishReason::kCancelled);
  forget_finished();
}

bool StepLoop::turn() {
  const TimePoint start = now();
  const bool cancels = take_arrivals();
  end_cancelled(cancels);
  schedule();
  build_step();
  if (!chunks_.empty()) {
    run_step();
    stats_.turn_seconds += seconds(start, now());
  }
  forget_finished();
  return !active_.empty();
}

bool StepLoop::take_arrivals() {
  const bool cancels = inbox_->take(arrivals_);
  for (auto& request : arrivals_) {
    if (request->deadline())
      next_deadline_ = std::min(next_deadline_.value_or(TimePoint::max()), *request->deadline());
    const auto place =
        std::upper_bound(active_.begin(), active_.end(), request, [](const auto& a, const auto& b) {
          return a->before(*b);
        });
    active_.insert(place, std::move(request));
  }
  arrivals_.clear();
  return cancels;
}

void StepLoop::end_cancelled(bool cancels) {
  const TimePoint time = now();
  const bool expiring = next_deadline_ && *next_deadline_ <= time;
  if (!cancels && !expiring) return;
  next_deadline_.reset();
  for (auto& request : active_) {
    if (request->cancelled()) {
      end(*request, FinishReason::kCancelled);
    } else if (request->expired(time)) {
      end(*request, FinishReason::kDeadline);
    } else if (request->deadline()) {
      next_deadline_ = std::min(next_deadline_.value_or(TimePoint::max()), *request->deadline());
    }
  }
  forget_finished();
}

void StepLoop::schedule() {
  demands_.clear();
  for (const auto& request : active_) demands_.push_back(request->demand());
  plan_capacity(demands_, capacity_limits_, capacity_);
  for (int32_t index : capacity_.preempt) {
    active_[index]->preempt(cache_);
    ++inbox_->waiting;
    ++stats_.preemptions;
  }
  for (int32_t index : capacity_.admit) {
    active_[index]->admit(now());
    --inbox_->waiting;
  }
  for (size_t i = 0; i < active_.size(); ++i) demands_[i] = active_[i]->demand();
  plan_batch(demands_, batch_limits_, chunks_);
  TKM_CHECK(chunks_.empty() == active_.empty(), "{} requests and none can run", active_.size());
}

bool StepLoop::get_pages(const Chunk& chunk) {
  ActiveRequest& request = *active_[chunk.index];
  try {
    request.grow(chunk.num_tokens, cache_);
    return true;
  } catch (const std::exception& failure) {
    fail(request, base::internal_error(failure.what()));
    return false;
  }
}

void StepLoop::build_step() {
  std::erase_if(chunks_, [&](const Chunk& chunk) { return !get_pages(chunk); });
  for (auto* rows : {&token_ids_, &positions_, &logit_rows_}) rows->clear();
  sequences_.clear();
  samples_.clear();
  for (const Chunk& chunk : chunks_) {
    const ActiveRequest& request = *active_[chunk.index];
    const int64_t first = request.num_cached();
    sequences_.push_back({static_cast<int32_t>(token_ids_.size()),
                          chunk.num_tokens,
                          static_cast<int32_t>(first),
                          request.pages()});
    for (int64_t i = first; i < first + chunk.num_tokens; ++i) {
      token_ids_.push_back(request.tokens()[i]);
      positions_.push_back(static_cast<int32_t>(i));
    }
    if (!chunk.samples) continue;
    samples_.push_back({static_cast<int32_t>(logit_rows_.size()), request.sample_context()});
    logit_rows_.push_back(static_cast<int32_t>(token_ids_.size()) - 1);
  }
}

void StepLoop::run_step() {
  const TimePoint start = now();
  Result<runtime::StepOutput> output = base::internal_error("the step did not run");
  try {
    output = session_->step({token_ids_, positions_, sequences_, logit_rows_, samples_});
    TKM_CHECK(!output.ok() || output->samples.size() == samples_.size(),
              "{} rows were to be sampled, {} were",
              samples_.size(),
              output->samples.size());
  } catch (const std::exception& failure) {
    output = base::internal_error(failure.what());
  }
  stats_.last_step_seconds = seconds(start, now());
  stats_.step_seconds += stats_.last_step_seconds;
  ++stats_.steps;
  if (output.ok()) {
    hand_out(output->samples);
  } else {
    for (const Chunk& chunk : chunks_) fail(*active_[chunk.index], output.error());
  }
}

void StepLoop::hand_out(std::vector<Result<runtime::Sampled>>& sampled) {
  const TimePoint time = now();
  size_t next = 0;
  for (const Chunk& chunk : chunks_) {
    ActiveRequest& request = *active_[chunk.index];
    stats_.prompt_tokens += request.decoding() ? 0 : chunk.num_tokens;
    request.computed(chunk.num_tokens);
    if (!chunk.samples) continue;
    auto& result = sampled[next++];
    if (!result.ok()) {
      fail(request, result.error());
      continue;
    }
    ++stats_.output_tokens;
    try {
      request.sampled(std::move(*result), time, cache_);
    } catch (const std::exception& failure) {
      if (!request.finished()) fail(request, base::internal_error(failure.what()));
    }
  }
}

void StepLoop::end(ActiveRequest& request, FinishReason reason) {
  if (!request.running()) --inbox_->waiting;
  request.finish(reason, {}, now(), cache_);
}

void StepLoop::fail(ActiveRequest& request, const Error& error) {
  if (!request.running()) --inbox_->waiting;
  request.fail(error, now(), cache_);
}

void StepLoop::forget_finished() {
  for (const auto& request : active_) {
    if (request->finished()) ++stats_.finished[static_cast<size_t>(request->finish_reason())];
  }
  std::erase_if(active_, [](const auto& request) { return request->finished(); });
  publish();
}

void StepLoop::publish() {
  stats_.running = std::count_if(
      active_.begin(), active_.end(), [](const auto& request) { return request->running(); });
  stats_.waiting = inbox_->waiting;
  stats_.pages_used = cache_.used_pages();
  stats_.pages_total = cache_.num_pages();
  std::lock_guard lock(published_mutex_);
  published_ = stats_;
}

ExecutorStats StepLoop::stats() const {
  std::lock_guard lock(published_mutex_);
  return published_;
}

void StepLoop::check_invariants() const {
  std::vector<int32_t> holders(cache_.num_pages(), 0);
  for (const auto& request : active_) {
    const auto& pages = request->pages();
    for (int32_t page : pages) ++holders[page];
    TKM_CHECK(
        request->running() || pages.empty(), "a request that waits holds {} pages", pages.size());
    TKM_CHECK(pages_for(request->num_cached()) <= static_cast<int64_t>(pages.size()),
              "{} tokens in {} pages",
              request->num_cached(),
              pages.size());
  }
  for (int32_t page = 0; page < cache_.num_pages(); ++page) {
    TKM_CHECK(holders[page] == cache_.references(page),
              "page {} has {} holders and {} references",
              page,
              holders[page],
              cache_.references(page));
    TKM_CHECK(holders[page] <= 1, "page {} has {} writers", page, holders[page]);
  }
  TKM_CHECK(cache_.free_pages() + cache_.used_pages() == cache_.num_pages(), "pages are lost");
}

}  // namespace tokamak::executor
