// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/progress_bar.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

namespace tokamak::cli {
namespace {

/// What a terminal shows after these bytes on one line; \x1b[K clears from the cursor on.
std::string shown(const std::vector<std::string>& lines) {
  std::string screen;
  size_t at = 0;
  for (const std::string& text : lines) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\r') {
        at = 0;
      } else if (text.compare(i, 3, "\x1b[K") == 0) {
        screen.resize(at);
        i += 2;
      } else {
        screen.resize(std::max(screen.size(), at + 1));
        screen[at++] = text[i];
      }
    }
  }
  return screen;
}

TEST(ProgressBar, a_bar_leaves_nothing_of_a_longer_line_before_it) {
  EXPECT_EQ(shown({"\rcompiling kernels for every bucket [####] 100% of them all, and more text",
                   progress_line("choosing tactics", 1, 20, 80)}),
            "choosing tactics   [#...............................]   5%");
  EXPECT_EQ(shown({progress_line("choosing tactics", 19, 20, 80),
                   progress_line("choosing tactics", 20, 20, 80)}),
            "");
}

TEST(ProgressBar, a_line_is_shorter_than_the_terminal) {
  for (int columns : {1, 4, 10, 24, 27, 40, 60, 200}) {
    const std::string line = shown({progress_line("bundling weights", 1, 3, columns)});
    EXPECT_LT(line.size(), static_cast<size_t>(std::max(columns, 5))) << columns;
    EXPECT_TRUE(line.ends_with(" 33%")) << columns << ": " << line;
  }
}

TEST(ProgressBar, without_a_total_nothing_is_drawn) {
  EXPECT_EQ(progress_line("requests", 3, 0, 80), "");
}

}  // namespace
}  // namespace tokamak::cli
