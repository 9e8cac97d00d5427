// SPDX-License-Identifier: Apache-2.0
// A step loop without a thread: turned by hand, on a clock that is set. For tests and simulations,
// which it makes deterministic.
#pragma once

#include <memory>
#include <utility>

#include "tokamak/executor/step_loop.h"

namespace tokamak::executor {

class DrivenLoop {
 public:
  DrivenLoop(std::unique_ptr<runtime::Session> session, ExecutorOptions options)
      : options_(std::move(options)) {
    options_.now = [this] { return time; };
    inbox_ = std::make_shared<Inbox>(options_.max_queue);
    loop_ = std::make_unique<StepLoop>(std::move(session), options_, inbox_);
  }

  /// As Executor::submit, without validation; without a seed the number of the request is its seed.
  Result<std::shared_ptr<TokenStream>> submit(Request request) {
    const TimePoint since = queued_since(time, request.priority, options_.priority_seconds);
    const uint64_t number = next_number_++;
    const int64_t seed = request.sampling.seed;
    Answer answer(request, tokenizer, options_.eos_ids);
    answer.suppress(options_.suppressed_ids, options_.begin_suppressed_ids);
    auto active = std::make_unique<ActiveRequest>(std::move(request),
                                                  number,
                                                  seed >= 0 ? static_cast<uint64_t>(seed) : number,
                                                  std::move(answer),
                                                  time,
                                                  since);
    auto responses = active->responses();
    TKM_RETURN_IF_ERROR(inbox_->put(std::move(active)));
    return std::make_shared<TokenStream>("", responses, [inbox = inbox_] { inbox->wake(); });
  }

  /// False if there is nothing left to do.
  bool turn() { return loop_->turn(); }

  const StepLoop& loop() const { return *loop_; }
  ExecutorStats stats() const { return loop_->stats(); }
  int64_t waiting() const { return inbox_->waiting(); }
  std::optional<Error> failure() const { return inbox_->failure(); }

  TimePoint time{std::chrono::seconds(1000)};
  std::shared_ptr<const text::Tokenizer> tokenizer;

 private:
  ExecutorOptions options_;
  std::shared_ptr<Inbox> inbox_;
  std::unique_ptr<StepLoop> loop_;
  uint64_t next_number_ = 0;
};

}  // namespace tokamak::executor
