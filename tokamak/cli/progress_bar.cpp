// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/progress_bar.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tokamak/base/log.h"

namespace tokamak::cli {
namespace {

constexpr std::string_view kClearLine = "\r\x1b[K", kClearToEnd = "\x1b[K";
constexpr int kWidth = 32, kStageWidth = 18;

/// A bar was drawn and not cleared.
std::atomic<bool> is_drawn{false};

int terminal_columns() {
  struct winsize size {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool can_draw() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) && terminal && std::string_view(terminal) != "dumb";
}

void write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::string progress_line(std::string_view stage, int64_t done, int64_t total, int columns) {
  if (total <= 0) return {};
  if (done >= total) return std::string(kClearLine);
  const int64_t at = std::max<int64_t>(done, 0);
  const std::string percent = fmt::format("{:3}%", at * 100 / total);
  std::string line = fmt::format("{:<{}} ", stage, kStageWidth);
  // The last column stays free: a terminal that wraps there would keep what was drawn.
  const int room = columns - 1 - static_cast<int>(line.size() + percent.size()) - 3;
  if (const int width = std::min(room, kWidth); width >= 4) {
    std::string bar(static_cast<size_t>(at * width / total), '#');
    bar.resize(static_cast<size_t>(width), '.');
    line += fmt::format("[{}] ", bar);
  }
  line = line.substr(0, static_cast<size_t>(std::max(columns - 1 - 4, 0))) + percent;
  return fmt::format("\r{}{}", line, kClearToEnd);
}

base::Progress progress_bar(bool quiet) {
  if (quiet || !can_draw()) return {};
  base::before_log_line(clear_progress_bar);
  return [](std::string_view stage, int64_t done, int64_t total) {
    const std::string line = progress_line(stage, done, total, terminal_columns());
    if (line.empty()) return;
    is_drawn = line != kClearLine;
    write(line);
  };
}

void clear_progress_bar() {
  if (is_drawn.exchange(false)) write(kClearLine);
}

}  // namespace tokamak::cli
