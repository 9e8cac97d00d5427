// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/token_stream.h"

namespace tokamak::executor {

ResponseQueue::ResponseQueue(int64_t num_answers)
    : pending_(num_answers), finished_(num_answers, false), num_open_(num_answers) {
  for (int64_t i = 0; i < num_answers; ++i) pending_[i].index = i;
}

Response& ResponseQueue::pending(int64_t index) {
  // An answer that has nothing new is not in ready_.
  Response& response = pending_[index];
  const bool was_empty = response.tokens.empty() && response.prompt_logprobs.empty() &&
                         response.text.empty() && !response.finish;
  if (was_empty) ready_.push_back(index);
  return response;
}

void ResponseQueue::add(Response& response, NewToken token) {
  response.tokens.push_back(token.id);
  response.text += token.text;
  if (token.logprobs) response.logprobs.push_back(std::move(*token.logprobs));
}

void ResponseQueue::push(int64_t index, NewToken token) {
  std::unique_lock lock(mutex_);
  if (abandoned_) return;
  const bool was_empty = ready_.empty();
  add(pending(index), std::move(token));
  tell(lock, was_empty);
}

void ResponseQueue::push_prompt(std::vector<TokenLogprobs> logprobs) {
  if (logprobs.empty()) return;
  std::unique_lock lock(mutex_);
  if (abandoned_) return;
  const bool was_empty = ready_.empty();
  pending(0).prompt_logprobs = std::move(logprobs);
  tell(lock, was_empty);
}

void ResponseQueue::finish(int64_t index,
                           std::string_view text,
                           Finish finish,
                           std::optional<NewToken> last) {
  std::unique_lock lock(mutex_);
  if (abandoned_) return;
  TKM_CHECK(!finished_[index], "answer {} finished twice", index);
  finished_[index] = true;
  const bool was_empty = ready_.empty();
  Response& response = pending(index);
  if (last) add(response, std::move(*last));
  response.text += text;
  response.finish = std::move(finish);
  tell(lock, was_empty);
}

void ResponseQueue::abandon(const Error& error) {
  std::unique_lock lock(mutex_);
  abandoned_ = true;
  const bool was_empty = ready_.empty();
  for (size_t i = 0; i < finished_.size(); ++i) {
    if (finished_[i]) continue;
    finished_[i] = true;
    Finish finish;
    finish.reason = FinishReason::kError;
    finish.error = error;
    finish.timing.finish = Clock::now();
    pending(static_cast<int64_t>(i)).finish = std::move(finish);
  }
  if (!ready_.empty()) tell(lock, was_empty);
}

void ResponseQueue::tell(std::unique_lock<std::mutex>& lock, bool was_empty) {
  auto listener = was_empty ? listener_ : nullptr;
  lock.unlock();
  if (!was_empty) return;
  changed_.notify_one();
  if (listener) (*listener)();
}

std::optional<Response> ResponseQueue::take(std::optional<std::chrono::nanoseconds> timeout) {
  std::unique_lock lock(mutex_);
  auto ready = [&] { return !ready_.empty() || num_open_ == 0; };
  if (timeout && *timeout > timeout->zero()) {
    changed_.wait_for(lock, *timeout, ready);
  } else if (!timeout) {
    changed_.wait(lock, ready);
  }
  if (num_open_ == 0) return std::nullopt;
  if (ready_.empty()) return Response{};
  const int64_t index = ready_.front();
  ready_.pop_front();
  num_open_ -= pending_[index].finish.has_value();
  return std::exchange(pending_[index], Response{.index = index});
}

void ResponseQueue::set_listener(std::function<void()> listener) {
  std::unique_lock lock(mutex_);
  listener_.reset();
  if (listener) listener_ = std::make_shared<const std::function<void()>>(std::move(listener));
  auto call = ready_.empty() ? nullptr : listener_;
  lock.unlock();
  if (call) (*call)();
}

TokenStream::TokenStream(std::string id,
                         std::shared_ptr<ResponseQueue> queue,
                         std::function<void()> wake)
    : id_(std::move(id)), queue_(std::move(queue)), wake_(std::move(wake)) {}

TokenStream::~TokenStream() {
  queue_->set_listener({});
  cancel();
}

std::optional<Response> TokenStream::next(std::optional<std::chrono::nanoseconds> timeout) {
  return queue_->take(timeout);
}

void TokenStream::cancel() {
  if (!queue_->cancelled.exchange(true)) wake_();
}

void TokenStream::set_listener(std::function<void()> listener) {
  queue_->set_listener(std::move(listener));
}

}  // namespace tokamak::executor
