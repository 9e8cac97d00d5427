// SPDX-License-Identifier: Apache-2.0
// Room in memory for the bodies of requests, over all connections together.
//
// A body may become as large as what the budget has left beside it. So the more of it is taken, the
// smaller the bodies that are refused: clients that fill it with large ones take it from each
// other, and what people ask beside them still finds room. One body takes at most half.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace tokamak::server {

class BodyBudget {
 public:
  explicit BodyBudget(int64_t limit_bytes) : limit_bytes(limit_bytes) {}

  /// Whether a body of `bytes` would find room now.
  bool has_room(int64_t bytes) const { return bytes <= limit_bytes - *used_ - bytes; }
  int64_t used_bytes() const { return *used_; }

  const int64_t limit_bytes;

 private:
  friend class BodyShare;
  // Of the shares, too: a request may end behind its server, in the hands of who answered it.
  std::shared_ptr<std::atomic<int64_t>> used_ = std::make_shared<std::atomic<int64_t>>(0);
};

/// What one body takes of a budget, until it is destroyed; may outlive the budget. One thread at a
/// time.
class BodyShare {
 public:
  BodyShare() = default;
  explicit BodyShare(const BodyBudget& budget)
      : used_(budget.used_), limit_bytes_(budget.limit_bytes) {}
  BodyShare(BodyShare&& other) noexcept { *this = std::move(other); }
  BodyShare& operator=(BodyShare&& other) noexcept {
    std::swap(used_, other.used_);
    std::swap(limit_bytes_, other.limit_bytes_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~BodyShare() { resize(0); }

  /// Takes `bytes` in all from now on. False if there is no room, and nothing changes; less than
  /// before always fits.
  bool resize(int64_t bytes) {
    if (!used_) return true;
    const int64_t more = bytes - bytes_;
    const int64_t used = used_->fetch_add(more) + more;
    if (more > 0 && bytes > limit_bytes_ - used) {
      *used_ -= more;
      return false;
    }
    bytes_ = bytes;
    return true;
  }

 private:
  std::shared_ptr<std::atomic<int64_t>> used_;
  int64_t limit_bytes_ = 0, bytes_ = 0;
};

}  // namespace tokamak::server
