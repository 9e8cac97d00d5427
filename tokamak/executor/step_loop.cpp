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
      batch_limits_(batch_limits(options, session_->info())),
      capacity_(capacity_limits(options, session_->info())),
      cache_(session_->info().num_pages, {options.prefix_reuse, options.prefix_hash_bits}) {
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
      take_forked();
      fail_all(base::internal_error(failure.what()));
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
  if (!lost()) {
    schedule();
    std::erase_if(chunks_, [&](const Chunk& chunk) { return !get_pages(chunk); });
    if (!chunks_.empty()) {
      run_step(chunks_);
      take_forked();
      stats_.turn_seconds += seconds(start, now());
    }
  }
  if (lost()) fail_all(*failure_);
  forget_finished();
  return !active_.empty();
}

bool StepLoop::take_arrivals() {
  const bool cancels = inbox_->take(arrivals_);
  stats_.requests += static_cast<int64_t>(arrivals_.size());
  insert(arrivals_);
  return cancels;
}

void StepLoop::take_forked() {
  inbox_->waiting += static_cast<int64_t>(forked_.size());
  insert(forked_);
}

void StepLoop::insert(std::vector<std::unique_ptr<ActiveRequest>>& requests) {
  for (auto& request : requests) {
    if (request->deadline())
      next_deadline_ = std::min(next_deadline_.value_or(TimePoint::max()), *request->deadline());
    const auto place =
        std::upper_bound(active_.begin(), active_.end(), request, [](const auto& a, const auto& b) {
          return a->before(*b);
        });
    active_.insert(place, std::move(request));
  }
  requests.clear();
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
  capacity_.begin();
  demands_.assign(active_.size(), {});
  for (size_t i = 0; i < active_.size(); ++i) {
    ActiveRequest& request = *active_[i];
    if (!request.running() && !capacity_.admitting()) continue;
    const auto verdict = capacity_.next(request.demand(cache_));
    if (verdict == CapacityPlan::Verdict::kPreempted) {
      request.preempt(cache_);
      ++inbox_->waiting;
      ++stats_.preemptions;
    }
    if (verdict != CapacityPlan::Verdict::kRuns) continue;
    if (!request.running()) admit(request);
    stats_.prefix_hit_tokens += request.adopt(cache_);
    demands_[i] = request.demand(cache_);
  }
  plan_batch(demands_, batch_limits_, chunks_);
  TKM_CHECK(chunks_.empty() == active_.empty(), "{} requests and none can run", active_.size());
}

void StepLoop::admit(ActiveRequest& request) {
  --inbox_->waiting;
  const TimePoint time = now();
  if (!request.admit(time)) return;
  ++stats_.admitted;
  stats_.queue_seconds += seconds(request.arrival(), time);
  stats_.prefix_query_tokens += static_cast<int64_t>(request.prompt_size());
}

bool StepLoop::faulty(Fault fault, const ActiveRequest& request) const {
  return options_.fault && options_.fault(fault, request.request());
}

bool StepLoop::get_pages(const Chunk& chunk) {
  ActiveRequest& request = *active_[chunk.index];
  try {
    TKM_CHECK(!faulty(Fault::kPages, request), "injected: pages");
    request.grow(chunk.num_tokens, cache_);
    return true;
  } catch (const std::exception& failure) {
    fail(request, base::internal_error(failure.what()));
    return false;
  }
}

void StepLoop::run_step(std::span<const Chunk> chunks) {
  if (lost()) return;
  build_step(chunks);
  auto output = try_step(chunks);
  if (output.ok()) return hand_out(chunks, output->samples);
  ++stats_.failed_steps;
  if (output.error().code == ErrorCode::kDevice) return lose_device(output.error());
  if (chunks.size() == 1) return fail(*active_[chunks[0].index], output.error());
  base::log_warn("executor: a step of {} requests failed and is tried in halves: {}",
                 chunks.size(),
                 output.error().text());
  run_step(chunks.first(chunks.size() / 2));
  run_step(chunks.subspan(chunks.size() / 2));
}

void StepLoop::lose_device(const Error& error) {
  base::log_warn("executor: the device is lost, every request ends: {}", error.text());
  failure_ = error;
  inbox_->fail(error);  // Before any stream ends with it.
}

void StepLoop::build_step(std::span<const Chunk> chunks) {
  for (auto* rows : {&token_ids_, &positions_, &logit_rows_}) rows->clear();
  sequences_.clear();
  samples_.clear();
  for (const Chunk& chunk : chunks) {
    const ActiveRequest& request = *active_[chunk.index];
    const int64_t first = request.num_cached(), end = first + chunk.num_tokens;
    sequences_.push_back({static_cast<int32_t>(token_ids_.size()),
                          chunk.num_tokens,
                          static_cast<int32_t>(first),
                          request.pages()});
    // The rows that ask for logits are consecutive, up to the last one or the one before it.
    const Demand& demand = demands_[chunk.index];
    for (int64_t i = first; i < end; ++i) {
      const bool scores = i >= demand.first_scored && i < demand.end_scored;
      if (scores || (chunk.samples && i + 1 == end)) {
        samples_.push_back(
            {static_cast<int32_t>(logit_rows_.size()), request.sample_context(i + 1)});
        logit_rows_.push_back(static_cast<int32_t>(token_ids_.size()));
      }
      token_ids_.push_back(request.tokens()[i]);
      positions_.push_back(static_cast<int32_t>(i));
    }
  }
}

Result<runtime::StepOutput> StepLoop::try_step(std::span<const Chunk> chunks) {
  const TimePoint start = now();
  Result<runtime::StepOutput> output = base::internal_error("the step did not run");
  try {
    for (const Chunk& chunk : chunks) {
      TKM_CHECK(!faulty(Fault::kStep, *active_[chunk.index]), "injected: step");
    }
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
  return output;
}

void StepLoop::hand_out(std::span<const Chunk> chunks,
                        std::span<Result<runtime::Sampled>> sampled) {
  const TimePoint time = now();
  for (const Chunk& chunk : chunks) {
    ActiveRequest& request = *active_[chunk.index];
    try {
      hand_out(chunk, sampled.first(chunk.num_rows), time);
    } catch (const std::exception& failure) {
      if (!request.finished()) fail(request, base::internal_error(failure.what()));
    }
    sampled = sampled.subspan(chunk.num_rows);
  }
}

void StepLoop::hand_out(const Chunk& chunk,
                        std::span<Result<runtime::Sampled>> sampled,
                        TimePoint time) {
  ActiveRequest& request = *active_[chunk.index];
  stats_.prompt_tokens += request.decoding() ? 0 : chunk.num_tokens;
  for (auto& result : sampled) {
    if (faulty(Fault::kRow, request)) result = base::internal_error("injected: row");
    if (!result.ok()) return fail(request, result.error());
  }
  for (auto& score : sampled.first(sampled.size() - chunk.samples))
    request.scored(std::move(*score));
  request.computed(chunk.num_tokens, time, cache_);
  if (!chunk.samples) return;
  request.fork(forked_);
  ++stats_.output_tokens;
  TKM_CHECK(!faulty(Fault::kText, request), "injected: text");
  request.sampled(std::move(*sampled.back()), time, cache_);
}

void StepLoop::end(ActiveRequest& request, FinishReason reason) {
  if (!request.running()) --inbox_->waiting;
  request.finish(reason, {}, now(), cache_);
}

void StepLoop::fail(ActiveRequest& request, const Error& error) {
  if (!request.running()) --inbox_->waiting;
  request.fail(error, now(), cache_);
}

void StepLoop::fail_all(const Error& error) {
  for (auto& request : active_) {
    if (!request->finished()) fail(*request, error);
  }
}

void StepLoop::forget_finished() {
  for (const auto& request : active_) {
    if (!request->finished()) continue;
    stats_.finished[static_cast<size_t>(request->finish_reason())] += request->num_answers();
  }
  std::erase_if(active_, [](const auto& request) { return request->finished(); });
  publish();
}

void StepLoop::publish() {
  stats_.running = std::count_if(
      active_.begin(), active_.end(), [](const auto& request) { return request->running(); });
  stats_.waiting = inbox_->waiting;
  stats_.pages_used = cache_.used_pages();
  stats_.pages_cached = cache_.cached_pages();
  stats_.evictions = cache_.evictions();
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
    for (size_t i = 0; i < pages.size(); ++i) {
      ++holders[pages[i]];
      TKM_CHECK(cache_.published(pages[i]) == (i < request->num_published()),
                "page {} of a request with {} published ones",
                i,
                request->num_published());
    }
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
    TKM_CHECK(holders[page] <= 1 || cache_.published(page),
              "page {} has {} writers",
              page,
              holders[page]);
  }
  cache_.check_invariants();
}

}  // namespace tokamak::executor
