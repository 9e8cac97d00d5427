// SPDX-License-Identifier: Apache-2.0
// Room in memory for the bodies of requests, over all connections together.
//
// A body may become as large as what the budget has left beside it. So the more of it is taken, the
// smaller the bodies that are refused: clients that fill it with large ones take it from each
// other, and what people ask beside them still finds room. One body takes at most half.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace tokamak::server {

class BodyBudget {
 public:
  explicit BodyBudget(int64_t limit_bytes) : limit_bytes(limit_bytes) {}

  /// Whether a body of `bytes` would find room now.
  bool has_room(int64_t bytes) const { return bytes <= limit_bytes - used_ - bytes; }
  int64_t used_bytes() const { return used_; }

  const int64_t limit_bytes;

 private:
  friend class BodyShare;
  std::atomic<int64_t> used_{0};
};

/// What one body takes of a budget, until it is destroyed. One thread at a time.
class BodyShare {
 public:
  BodyShare() = default;
  explicit BodyShare(BodyBudget& budget) : budget_(&budget) {}
  BodyShare(BodyShare&& other) noexcept { *this = std::move(other); }
  BodyShare& operator=(BodyShare&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~BodyShare() { resize(0); }

  /// Takes `bytes` in all from now on. False if there is no room, and nothing changes; less than
  /// before always fits.
  bool resize(int64_t bytes) {
    if (!budget_) return true;
    const int64_t more = bytes - bytes_;
    const int64_t used = budget_->used_.fetch_add(more) + more;
    if (more > 0 && bytes > budget_->limit_bytes - used) {
      budget_->used_ -= more;
      return false;
    }
    bytes_ = bytes;
    return true;
  }

 private:
  BodyBudget* budget_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace tokamak::server
