// SPDX-License-Identifier: Apache-2.0
// In-flight batching: many requests share one session, each gets its answer as a stream.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "tokamak/executor/options.h"
#include "tokamak/executor/request.h"
#include "tokamak/executor/token_stream.h"
#include "tokamak/runtime/session.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::executor {

class Inbox;
class StepLoop;
class Watchdog;

/// A session that serves requests, on a thread of its own. All methods may be called from any
/// thread.
class Executor {
 public:
  /// `tokenizer` may be null: answers then have tokens and no text, and stop texts are refused.
  /// Errors: invalid (an option, or a session without pages).
  static Result<std::unique_ptr<Executor>> start(std::unique_ptr<runtime::Session> session,
                                                 std::shared_ptr<const text::Tokenizer> tokenizer,
                                                 ExecutorOptions options = {});
  /// Stops. Where a step hangs, its thread is left behind with the session.
  ~Executor();

  /// Queues a request. Destroying the stream cancels it. Errors: those of validate(); unsupported
  /// (stop texts without a tokenizer); overloaded (the queue is full, or the executor shuts down);
  /// that of failure().
  Result<std::shared_ptr<TokenStream>> submit(Request request);

  /// Refuses new requests, lets those that are here finish, then returns.
  void drain();
  /// Refuses new requests, ends those that are here as cancelled, then returns.
  void stop();

  /// Why no request can be served any more, if so: the device is lost, or a step has not ended
  /// within step_timeout_seconds (ErrorCode::kDevice). All requests ended with this error, new ones
  /// are refused with it. The owner should end the process; it stays so until then.
  std::optional<Error> failure() const;

  ExecutorStats stats() const;
  const runtime::SessionInfo& session_info() const { return info_; }

 private:
  Executor(std::unique_ptr<runtime::Session> session,
           std::shared_ptr<const text::Tokenizer> tokenizer,
           ExecutorOptions options);
  uint64_t seed_of(const Request& request, uint64_t number) const;

  const runtime::SessionInfo info_;
  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const ExecutorOptions options_;
  const uint64_t random_seed_;
  std::atomic<uint64_t> next_number_{0};
  const std::shared_ptr<Inbox> inbox_;
  const std::shared_ptr<StepLoop> loop_;
  const std::shared_ptr<Watchdog> watchdog_;
  std::once_flag joined_;
  std::thread thread_;
};

}  // namespace tokamak::executor
