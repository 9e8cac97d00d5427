// SPDX-License-Identifier: Apache-2.0
// The way of responses from the step loop to one client.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "tokamak/executor/request.h"

namespace tokamak::executor {

/// Between the step loop, which writes and never waits, and one client, which reads. What the
/// client has not read yet is kept as one response, so a slow client costs no more than its answer.
class ResponseQueue {
 public:
  /// Of the step loop: a token and what it adds to the text.
  void push(int32_t token, std::string_view text, std::optional<TokenLogprobs> logprobs);
  /// Of the step loop: the last response. Exactly once.
  void finish(std::string_view text, Finish finish);

  std::optional<Response> take(std::optional<std::chrono::nanoseconds> timeout);
  void set_listener(std::function<void()> listener);

  std::atomic<bool> cancelled{false};

 private:
  void tell(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const std::function<void()>> listener_;
  Response pending_;
  bool has_pending_ = false;
  bool taken_all_ = false;
};

/// The answer to one request as it grows. Methods may be called from any thread, next() by one at a
/// time. Destroying the stream cancels the request and frees its pages.
class TokenStream {
 public:
  /// `wake` tells the step loop that something was cancelled.
  TokenStream(std::string id, std::shared_ptr<ResponseQueue> queue, std::function<void()> wake);
  ~TokenStream();
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;

  const std::string& id() const { return id_; }

  /// Waits until there is something new and returns all of it. The last response has `finish`;
  /// after it nullopt. With a timeout, an empty response when that has passed.
  std::optional<Response> next(std::optional<std::chrono::nanoseconds> timeout = {});

  /// Ends the request wherever it is; the last response says kCancelled, if it was not finished
  /// yet.
  void cancel();

  /// `listener` is called whenever next() would return at once after it would have waited, from the
  /// step loop's thread (or from here, if there is something already): it must neither wait nor
  /// call back into the stream, and a call may still be under way when the stream is destroyed. For
  /// servers that hold many streams on few threads.
  void set_listener(std::function<void()> listener);

 private:
  std::string id_;
  std::shared_ptr<ResponseQueue> queue_;
  std::function<void()> wake_;
};

}  // namespace tokamak::executor
