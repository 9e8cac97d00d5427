// SPDX-License-Identifier: Apache-2.0
// What is still to be written to a client, in order.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace tokamak::server {

class Outbox {
 public:
  /// To be appended to; not after add_body(), until all is sent.
  std::string& text() { return text_; }
  /// What comes behind all text. A large one is not copied.
  void add_body(std::string body) {
    constexpr size_t kWorthCopying = 16'384;  // Head and body leave in one packet or two.
    if (body.size() <= kWorthCopying) {
      text_ += body;
    } else {
      body_ = std::move(body);
    }
  }

  /// Bytes to write next, which stay where they are until sent(); empty if there are none.
  std::string_view next() {
    if (sent_ == sending_.size()) {
      sending_.clear();
      sent_ = 0;
      std::swap(sending_, text_.empty() ? body_ : text_);
    }
    return std::string_view(sending_).substr(sent_);
  }
  void sent(size_t size) {
    constexpr size_t kWorthKeeping = 65'536;
    sent_ += size;
    if (sent_ < sending_.size() || sending_.capacity() <= kWorthKeeping) return;
    std::string().swap(sending_);  // Frees it.
    sent_ = 0;
  }
  bool empty() const { return sent_ == sending_.size() && text_.empty() && body_.empty(); }

 private:
  std::string text_, body_;
  std::string sending_;  // From sent_ on.
  size_t sent_ = 0;
};

}  // namespace tokamak::server
