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
    : options_(options),
      pipeline_(std::move(session), options_, stats_),
      inbox_(std::move(inbox)),
      batch_limits_(batch_limits(options, pipeline_.info())),
      capacity_(capacity_limits(options, pipeline_.info())),
      cache_(pipeline_.info().num_pages, {options.prefix_reuse, options.prefix_hash_bits}) {
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
  pipeline_.clear();
  forget_finished();
}

bool StepLoop::turn() {
  const TimePoint start = now();
  const int64_t steps = stats_.steps;
  const bool cancels = take_arrivals();
  end_cancelled(cancels);
  if (!lost() && inbox_->hangs()) lose_device(*inbox_->failure());
  if (!lost()) advance();
  if (lost()) fail_all(*failure_);
  if (stats_.steps > steps) stats_.turn_seconds += seconds(start, now());
  forget_finished();
  return !active_.empty() || !pipeline_.empty();
}

void StepLoop::advance() {
  const bool launched = launch_next();
  // While another step may be launched, the one under way has time.
  if (!pipeline_.empty() && !(launched && pipeline_.may_launch())) finish_oldest();
  take_forked();
}

bool StepLoop::launch_next() {
  if (!pipeline_.may_launch() || !schedule()) return false;
  std::erase_if(chunks_, [&](const Chunk& chunk) { return !get_pages(chunk); });
  if (chunks_.empty()) return false;
  std::vector<Part> parts = parts_of(chunks_);
  const auto launched = pipeline_.launch(parts);
  if (launched.ok()) return true;
  if (launched.error().code == ErrorCode::kDevice) {
    lose_device(launched.error());
  } else if (pipeline_.empty()) {
    try_in_halves(parts, launched.error());
  } else {  // It is tried again when the step under way is done.
    for (const Part& part : parts) part.request->trim(cache_);
  }
  return false;
}

bool StepLoop::take_arrivals() {
  const bool cancels = inbox_->take(arrivals_);
  stats_.requests += static_cast<int64_t>(arrivals_.size());
  insert(arrivals_);
  return cancels;
}

void StepLoop::take_forked() {
  insert(forked_);
}

void StepLoop::insert(std::vector<std::unique_ptr<ActiveRequest>>& requests) {
  for (auto& request : requests) {
    if (request->deadline())
      next_deadline_ = std::min(next_deadline_.value_or(TimePoint::max()), *request->deadline());
    active_.push_back(std::move(request));
    in_order_ = false;
  }
  requests.clear();
}

/// Whose turn it is changes with who is there, who runs and who was served.
void StepLoop::sort_active() {
  if (std::exchange(in_order_, true)) return;
  claims_.clear();
  for (const auto& request : active_) claims_.push_back(request->claim());
  std::vector<std::shared_ptr<ActiveRequest>> sorted;
  sorted.reserve(active_.size());
  for (uint32_t index : fair_.order(claims_)) sorted.push_back(std::move(active_[index]));
  active_ = std::move(sorted);
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

/// A request that grows beyond the length from which on keys and values are others begins anew,
/// with what it has as its prompt. False if it must wait for the step under way.
bool StepLoop::follow_length(ActiveRequest& request) {
  const int64_t longest = pipeline_.info().long_sequence_after;
  if (longest == 0 || !request.outgrows(longest)) return true;
  if (request.running()) {
    if (!pipeline_.empty()) return false;
    request.requeue(cache_);
    in_order_ = false;
  }
  request.lengthen();
  return true;
}

bool StepLoop::plan_capacity() {
  sort_active();
  capacity_.begin();
  verdicts_.assign(active_.size(), CapacityPlan::Verdict::kWaits);
  demands_.assign(active_.size(), {});
  for (size_t i = 0; i < active_.size(); ++i) {
    ActiveRequest& request = *active_[i];
    if (!follow_length(request)) return false;
    if (!request.running() && !capacity_.admitting()) continue;
    demands_[i] = request.demand(cache_);
    verdicts_[i] = capacity_.next(demands_[i]);
    // The step under way may end somebody and leave room.
    if (verdicts_[i] == CapacityPlan::Verdict::kPreempted && !pipeline_.empty()) return false;
  }
  return true;
}

bool StepLoop::schedule() {
  if (!plan_capacity()) return false;
  for (size_t i = 0; i < active_.size(); ++i) {
    ActiveRequest& request = *active_[i];
    Demand& demand = demands_[i];
    if (verdicts_[i] == CapacityPlan::Verdict::kPreempted) {
      request.preempt(cache_);
      demand.running = false;
      in_order_ = false;
      ++stats_.preemptions;
    }
    if (verdicts_[i] != CapacityPlan::Verdict::kRuns) continue;
    if (!request.running()) admit(request);
    stats_.prefix_hit_tokens += request.adopt(cache_);
    if (!demand.running || demand.num_cached < request.num_computed())
      demand = request.demand(cache_);
  }
  plan_batch(demands_, batch_limits_, chunks_);
  TKM_CHECK(!chunks_.empty() || active_.empty() || !pipeline_.empty(),
            "{} requests and none can run",
            active_.size());
  return true;
}

void StepLoop::admit(ActiveRequest& request) {
  leave_queue(request);
  const TimePoint time = now();
  fair_.served(request.request().owner, time);
  in_order_ = false;
  if (!request.admit(time)) return;
  ++stats_.admitted;
  stats_.queue_seconds += seconds(request.arrival(), time);
  stats_.prefix_query_tokens += static_cast<int64_t>(request.prompt_size());
}

void StepLoop::leave_queue(const ActiveRequest& request) {
  if (request.in_queue()) inbox_->left(request.request().owner);
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

std::vector<Part> StepLoop::parts_of(std::span<const Chunk> chunks) const {
  std::vector<Part> parts;
  parts.reserve(chunks.size());
  for (const Chunk& chunk : chunks)
    parts.push_back({active_[chunk.index], chunk.num_tokens, chunk.num_rows, chunk.samples});
  return parts;
}

void StepLoop::finish_oldest() {
  auto [parts, output] = pipeline_.finish();
  if (output.ok()) return hand_out(parts, output->samples);
  if (output.error().code == ErrorCode::kDevice) return lose_device(output.error());
  // What was launched since is worth nothing; it may even be what failed.
  const bool alone = pipeline_.empty();
  auto rewind = [&](std::vector<Part>& all) {
    std::erase_if(all, [](const Part& part) { return !part.request || part.request->finished(); });
    for (Part& part : all) part.request->rewind(cache_);
  };
  rewind(parts);
  while (!pipeline_.empty()) {
    auto [dropped, ignored] = pipeline_.finish();
    if (!ignored.ok() && ignored.error().code == ErrorCode::kDevice)
      return lose_device(ignored.error());
    rewind(dropped);
  }
  if (alone) {
    try_in_halves(parts, output.error());
  } else {
    run_alone(std::move(parts));
  }
}

void StepLoop::run_alone(std::vector<Part> parts) {
  if (lost() || parts.empty()) return;
  for (const Part& part : parts) part.request->grow(part.num_tokens, cache_);
  const auto launched = pipeline_.launch(parts);
  if (launched.ok()) return finish_oldest();
  if (launched.error().code == ErrorCode::kDevice) return lose_device(launched.error());
  try_in_halves(parts, launched.error());
}

void StepLoop::try_in_halves(std::span<const Part> parts, const Error& error) {
  if (parts.empty()) return;
  if (parts.size() == 1) return fail(*parts[0].request, error);
  base::log_warn("executor: a step of {} requests failed and is tried in halves: {}",
                 parts.size(),
                 error.text());
  const size_t half = parts.size() / 2;
  run_alone({parts.begin(), parts.begin() + static_cast<ptrdiff_t>(half)});
  run_alone({parts.begin() + static_cast<ptrdiff_t>(half), parts.end()});
}

void StepLoop::lose_device(const Error& error) {
  base::log_warn("executor: the device is lost, every request ends: {}", error.text());
  failure_ = error;
  pipeline_.clear();
  inbox_->fail(error);  // Before any stream ends with it.
}

void StepLoop::hand_out(std::span<const Part> parts, std::span<Result<runtime::Sampled>> sampled) {
  const TimePoint time = now();
  for (const Part& part : parts) {
    const auto own = sampled.first(part.num_rows);
    sampled = sampled.subspan(part.num_rows);
    // Who has ended since has no use for it.
    if (!part.request || part.request->finished()) continue;
    try {
      hand_out(part, own, time);
    } catch (const std::exception& failure) {
      if (!part.request->finished()) fail(*part.request, base::internal_error(failure.what()));
    }
  }
}

void StepLoop::hand_out(const Part& part,
                        std::span<Result<runtime::Sampled>> sampled,
                        TimePoint time) {
  ActiveRequest& request = *part.request;
  for (auto& result : sampled) {
    if (faulty(Fault::kRow, request)) result = base::internal_error("injected: row");
    if (!result.ok()) return fail(request, result.error());
  }
  const auto left = std::find_if(sampled.begin(), sampled.end(), [](const auto& result) {
    return result->token == runtime::kUndecided;
  });
  const bool undecided = left != sampled.end();
  const size_t rows_taken = static_cast<size_t>(left - sampled.begin());
  const size_t num_scores = sampled.size() - part.samples;
  for (auto& score : sampled.first(std::min(rows_taken, num_scores)))
    request.scored(std::move(*score));
  // The token of a row that is to be decided again is computed again, and what is behind it.
  int32_t num_tokens = part.num_tokens;
  if (undecided && rows_taken < num_scores)
    num_tokens = static_cast<int32_t>(request.next_scored() - request.num_cached());
  else if (undecided)
    num_tokens -= 1;
  stats_.prompt_tokens += request.decoding() ? 0 : num_tokens;
  request.computed(num_tokens, time, cache_);
  if (undecided) {
    pipeline_.drop(request);
    return request.undecided(cache_);
  }
  if (!part.samples) return;
  request.fork(forked_);
  ++stats_.output_tokens;
  TKM_CHECK(!faulty(Fault::kText, request), "injected: text");
  request.sampled(std::move(*sampled.back()), time, cache_);
}

void StepLoop::end(ActiveRequest& request, FinishReason reason) {
  leave_queue(request);
  request.finish(reason, {}, now(), cache_);
}

void StepLoop::fail(ActiveRequest& request, const Error& error) {
  leave_queue(request);
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
    if (request->held_pages()) fair_.served(request->request().owner, now());
    in_order_ = false;
  }
  std::erase_if(active_, [](const auto& request) { return request->finished(); });
  publish();
}

void StepLoop::publish() {
  stats_.running = std::count_if(
      active_.begin(), active_.end(), [](const auto& request) { return request->running(); });
  stats_.waiting = static_cast<int64_t>(active_.size()) - stats_.running;
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
    TKM_CHECK(pages_for(request->num_computed()) == static_cast<int64_t>(pages.size()),
              "{} tokens in {} pages",
              request->num_computed(),
              pages.size());
    const int64_t under_way = request->num_computed() - request->num_cached();
    TKM_CHECK(under_way == pipeline_.tokens_under_way(*request),
              "{} tokens under way, {} in the steps that are",
              under_way,
              pipeline_.tokens_under_way(*request));
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
