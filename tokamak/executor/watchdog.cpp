// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/watchdog.h"

#include <algorithm>

#include "tokamak/base/log.h"

namespace tokamak::executor {

using Seconds = std::chrono::duration<double>;

Watchdog::Watchdog(double timeout_seconds,
                   std::shared_ptr<const StepLoop> loop,
                   std::shared_ptr<Inbox> inbox)
    : timeout_seconds_(timeout_seconds), loop_(std::move(loop)), inbox_(std::move(inbox)) {
  if (timeout_seconds_ > 0) thread_ = std::thread([this] { run(); });
}

Watchdog::~Watchdog() {
  loop_ended();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::add(const std::shared_ptr<ResponseQueue>& responses) {
  std::unique_lock lock(mutex_);
  if (open_.size() >= prune_at_) {
    std::erase_if(open_, [](const auto& stream) { return stream.expired(); });
    prune_at_ = 2 * open_.size() + 1024;
  }
  open_.push_back(responses);
  if (!hangs_) return;
  lock.unlock();
  responses->abandon(*inbox_->failure());  // It came while all others ended.
}

void Watchdog::loop_ended() {
  std::lock_guard lock(mutex_);
  loop_ended_ = true;
  changed_.notify_all();
}

bool Watchdog::wait_for_loop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return loop_ended_ || hangs_; });
  return !loop_ended_;
}

void Watchdog::run() {
  const auto interval = std::min(Seconds(timeout_seconds_ / 4), Seconds(1));
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval, [&] { return loop_ended_; })) {
    const auto error = overdue();
    if (!error) continue;
    lock.unlock();
    end_all(*error);
    return;
  }
}

std::optional<Error> Watchdog::overdue() const {
  const auto timeout = std::chrono::duration_cast<Clock::duration>(Seconds(timeout_seconds_));
  const auto step = loop_->step_called_before(Clock::now() - timeout);
  if (!step) return {};
  const std::string at = loop_->describe_step();
  return Error{ErrorCode::kDevice,
               fmt::format("step {} of {} sequences, {} tokens and {} rows of logits has not ended "
                           "within {} s (step_timeout){}{}",
                           step->number,
                           step->num_sequences,
                           step->num_tokens,
                           step->num_rows,
                           timeout_seconds_,
                           at.empty() ? "" : "; it is at ",
                           at),
               "the device or a kernel hangs: start again; a device that is merely slow needs a "
               "longer step_timeout"};
}

void Watchdog::end_all(const Error& error) {
  base::log_warn("executor: every request ends: {}", error.text());
  inbox_->hang(error);  // Before any stream ends with it.
  std::vector<std::weak_ptr<ResponseQueue>> open;
  {
    std::lock_guard lock(mutex_);
    hangs_ = true;
    open.swap(open_);
    changed_.notify_all();
  }
  for (const auto& stream : open) {
    if (auto responses = stream.lock()) responses->abandon(error);
  }
}

}  // namespace tokamak::executor
