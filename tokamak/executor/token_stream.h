// SPDX-License-Identifier: Apache-2.0
// The way of responses from the step loop to one client.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "tokamak/executor/request.h"

namespace tokamak::executor {

/// A token of an answer, and what it adds to the text.
struct NewToken {
  int32_t id = 0;
  std::string_view text;
  std::optional<TokenLogprobs> logprobs;
};

/// Between the step loop, which writes and never waits, and one client, which reads. What the
/// client has not read yet of an answer is kept as one response, so a slow client costs no more
/// than its answers.
class ResponseQueue {
 public:
  explicit ResponseQueue(int64_t num_answers = 1);

  /// Of the step loop: a token of answer `index` behind which more may come.
  void push(int64_t index, NewToken token);
  /// Of the step loop, before the first token of answer 0.
  void push_prompt(std::vector<TokenLogprobs> logprobs);
  /// Of the step loop: the last response of answer `index`. Exactly once. A token that ends the
  /// answer comes with it: in a stream, what says that it has ended has a token then, always.
  void finish(int64_t index,
              std::string_view text,
              Finish finish,
              std::optional<NewToken> last = {});

  /// From any thread: the step loop will never come back. Ends the answers that have not ended;
  /// what the loop may yet say of them is dropped.
  void abandon(const Error& error);

  std::optional<Response> take(std::optional<std::chrono::nanoseconds> timeout);
  void set_listener(std::function<void()> listener);

  std::atomic<bool> cancelled{false};

 private:
  Response& pending(int64_t index);
  static void add(Response& response, NewToken token);
  void tell(std::unique_lock<std::mutex>& lock, bool was_empty);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const std::function<void()>> listener_;
  std::vector<Response> pending_;  // By answer.
  std::deque<int64_t> ready_;   // Answers with something pending, the one that waits longest first.
  std::vector<bool> finished_;  // By answer.
  bool abandoned_ = false;
  int64_t num_open_;  // Answers whose last response was not taken yet.
};

/// The answers to one request as they grow. Methods may be called from any thread, next() by one at
/// a time. Destroying the stream cancels the request and frees its pages.
class TokenStream {
 public:
  /// `wake` tells the step loop that something was cancelled.
  TokenStream(std::string id, std::shared_ptr<ResponseQueue> queue, std::function<void()> wake);
  ~TokenStream();
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;

  const std::string& id() const { return id_; }

  /// Waits until there is something new of an answer and returns all of it; answers take turns. The
  /// last response of each answer has `finish`; after the last of all nullopt. With a timeout, an
  /// empty response when that has passed.
  std::optional<Response> next(std::optional<std::chrono::nanoseconds> timeout = {});

  /// Ends the request wherever it is; the last responses of the answers that were not finished yet
  /// say kCancelled.
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
