// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/line_reader.h"

#include <cerrno>
#include <utility>

#include <poll.h>
#include <unistd.h>

namespace tokamak::cli {
namespace {

constexpr int kLookMs = 50;  // A signal may come between looking for it and waiting.

}  // namespace

LineReader::Read LineReader::next(std::string& line) {
  while (true) {
    if (size_t end = held_.find('\n'); end != std::string::npos) {
      line = held_.substr(0, end);
      held_.erase(0, end + 1);
      return Read::kLine;
    }
    if (ended_) {
      line = std::exchange(held_, {});
      return line.empty() ? Read::kEnd : Read::kLine;
    }
    struct pollfd poll {
      .fd = file_, .events = POLLIN, .revents = 0
    };
    const int ready = ::poll(&poll, 1, kLookMs);
    if (take_interrupt_()) {
      held_.clear();
      return Read::kInterrupted;
    }
    if (ready <= 0) continue;
    char bytes[4096];
    const ssize_t count = ::read(file_, bytes, sizeof bytes);
    if (count > 0)
      held_.append(bytes, static_cast<size_t>(count));
    else if (count == 0 || (errno != EINTR && errno != EAGAIN))
      ended_ = true;
  }
}

}  // namespace tokamak::cli
