// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace tokamak::cli {

/// Lines of a file that somebody may be typing, and Ctrl-C between them.
class LineReader {
 public:
  enum class Read { kLine, kEnd, kInterrupted };

  /// `take_interrupt`: whether there was an interrupt since it was last asked.
  LineReader(int file, std::function<bool()> take_interrupt)
      : file_(file), take_interrupt_(std::move(take_interrupt)) {}
  /// Waits for the next line (without its end); a last one without an end counts. An interrupt
  /// drops what was typed so far.
  Read next(std::string& line);

 private:
  int file_;
  std::function<bool()> take_interrupt_;
  std::string held_;
  bool ended_ = false;
};

}  // namespace tokamak::cli
