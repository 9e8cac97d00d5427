// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/token_stream.h"

namespace tokamak::executor {

void ResponseQueue::push(int32_t token,
                         std::string_view text,
                         std::optional<TokenLogprobs> logprobs) {
  std::unique_lock lock(mutex_);
  pending_.tokens.push_back(token);
  pending_.text += text;
  if (logprobs) pending_.logprobs.push_back(std::move(*logprobs));
  tell(lock);
}

void ResponseQueue::finish(std::string_view text, Finish finish) {
  std::unique_lock lock(mutex_);
  TKM_CHECK(!pending_.finish && !taken_all_, "a request finished twice");
  pending_.text += text;
  pending_.finish = std::move(finish);
  tell(lock);
}

void ResponseQueue::tell(std::unique_lock<std::mutex>& lock) {
  const bool was_empty = !std::exchange(has_pending_, true);
  auto listener = was_empty ? listener_ : nullptr;
  lock.unlock();
  if (!was_empty) return;
  changed_.notify_one();
  if (listener) (*listener)();
}

std::optional<Response> ResponseQueue::take(std::optional<std::chrono::nanoseconds> timeout) {
  std::unique_lock lock(mutex_);
  auto ready = [&] { return has_pending_ || taken_all_; };
  if (timeout) {
    changed_.wait_for(lock, *timeout, ready);
  } else {
    changed_.wait(lock, ready);
  }
  if (taken_all_) return std::nullopt;
  taken_all_ = pending_.finish.has_value();
  has_pending_ = false;
  return std::exchange(pending_, {});
}

void ResponseQueue::set_listener(std::function<void()> listener) {
  std::unique_lock lock(mutex_);
  listener_.reset();
  if (listener) listener_ = std::make_shared<const std::function<void()>>(std::move(listener));
  auto call = has_pending_ ? listener_ : nullptr;
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
