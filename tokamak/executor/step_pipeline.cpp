// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/step_pipeline.h"

#include <algorithm>

namespace tokamak::executor {

StepPipeline::StepPipeline(std::unique_ptr<runtime::Session> session,
                           const ExecutorOptions& options,
                           ExecutorStats& stats)
    : session_(std::move(session)),
      options_(options),
      stats_(stats),
      depth_(options.overlap ? static_cast<size_t>(session_->info().max_under_way) : 1) {}

bool StepPipeline::may_launch() const {
  return steps_.empty() || (steps_.size() < depth_ && steps_.back().may_be_followed);
}

Result<void> StepPipeline::launch(std::vector<Part>& parts) {
  LaunchedStep& step = steps_.emplace_back();
  step.start = options_.now();
  Result<void> launched = base::internal_error("the step was not launched");
  try {
    check_faults(parts);
    pack(parts);
    step.watched = {.number = ++num_launched_,
                    .num_sequences = std::ssize(sequences_),
                    .num_tokens = std::ssize(token_ids_),
                    .num_rows = std::ssize(logit_rows_)};
    const StepWatch::Call call(watch_, step.watched);
    launched = session_->launch({token_ids_, positions_, sequences_, logit_rows_, samples_});
  } catch (const std::exception& failure) {
    launched = base::internal_error(failure.what());
  }
  if (!launched.ok()) {
    count_step(step.start, true);
    steps_.pop_back();
    return launched;
  }
  step.may_be_followed = depth_ > 1 && may_be_followed(parts);
  int32_t next_row = 0;
  for (const Part& part : parts) {
    next_row += part.num_rows;
    part.request->launched(part.num_tokens, part.samples ? next_row - 1 : -1);
  }
  step.parts = std::move(parts);
  return {};
}

void StepPipeline::pack(std::span<const Part> parts) {
  for (auto* rows : {&token_ids_, &positions_, &logit_rows_}) rows->clear();
  sequences_.clear();
  samples_.clear();
  for (const Part& part : parts) {
    const ActiveRequest& request = *part.request;
    const int64_t first = request.num_computed(), end = first + part.num_tokens;
    sequences_.push_back({static_cast<int32_t>(token_ids_.size()),
                          part.num_tokens,
                          static_cast<int32_t>(first),
                          std::span(request.pages()).first(pages_for(end)),
                          request.is_long()});
    // The rows that ask for logits are consecutive, up to the last one or the one before it.
    for (int64_t i = first; i < end; ++i) {
      if (request.scores(i) || (part.samples && i + 1 == end)) {
        samples_.push_back(
            {static_cast<int32_t>(logit_rows_.size()), request.sample_context(i + 1)});
        logit_rows_.push_back(static_cast<int32_t>(token_ids_.size()));
      }
      token_ids_.push_back(request.token_id(i));
      positions_.push_back(static_cast<int32_t>(i));
    }
  }
}

bool StepPipeline::may_be_followed(std::span<const Part> parts) {
  return std::all_of(parts.begin(), parts.end(), [](const Part& part) {
    return part.num_rows == 0 || part.request->may_be_followed(part.samples);
  });
}

void StepPipeline::check_faults(std::span<const Part> parts) const {
  if (!options_.fault) return;
  for (const Part& part : parts) {
    TKM_CHECK(!options_.fault(Fault::kStep, part.request->request()), "injected: step");
  }
}

StepPipeline::Finished StepPipeline::finish() {
  LaunchedStep step = std::move(steps_.front());
  steps_.pop_front();
  Finished finished{std::move(step.parts), base::internal_error("the step did not run")};
  try {
    {
      const StepWatch::Call call(watch_, step.watched);
      finished.output = session_->finish();
    }
    size_t num_rows = 0;
    for (const Part& part : finished.parts) num_rows += static_cast<size_t>(part.num_rows);
    TKM_CHECK(!finished.output.ok() || finished.output->samples.size() == num_rows,
              "{} rows were to be sampled, {} were",
              num_rows,
              finished.output->samples.size());
  } catch (const std::exception& failure) {
    finished.output = base::internal_error(failure.what());
  }
  count_step(step.start, !finished.output.ok());
  if (finished.output.ok()) stats_.step_tokens.add(step.watched.num_tokens);
  return finished;
}

void StepPipeline::count_step(TimePoint start, bool failed) {
  const TimePoint end = options_.now();
  // Until the step before it ended, the device had that one.
  const auto taken = end - std::max(start, last_finish_);
  last_finish_ = end;
  stats_.last_step_seconds = std::chrono::duration<double>(taken).count();
  stats_.step_seconds += stats_.last_step_seconds;
  ++stats_.steps;
  stats_.failed_steps += failed;
}

void StepPipeline::drop(const ActiveRequest& request) {
  for (LaunchedStep& step : steps_) {
    for (Part& part : step.parts) {
      if (part.request.get() == &request) step.dropped.push_back(std::move(part.request));
    }
  }
}

int64_t StepPipeline::tokens_under_way(const ActiveRequest& request) const {
  int64_t tokens = 0;
  for (const LaunchedStep& step : steps_) {
    for (const Part& part : step.parts) {
      if (part.request.get() == &request) tokens += part.num_tokens;
    }
  }
  return tokens;
}

}  // namespace tokamak::executor
