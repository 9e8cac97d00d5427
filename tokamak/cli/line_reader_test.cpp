// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/line_reader.h"

#include <csignal>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/cli/interrupt.h"

namespace tokamak::cli {
namespace {

using Read = LineReader::Read;

class LineReaderTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::pipe(pipe_), 0); }
  void TearDown() override {
    ::close(pipe_[0]);
    if (pipe_[1] >= 0) ::close(pipe_[1]);
  }
  void type(std::string_view text) {
    ASSERT_EQ(::write(pipe_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void end() { ::close(std::exchange(pipe_[1], -1)); }

  int pipe_[2] = {-1, -1};
  bool interrupt_ = false;
  LineReader reader() {
    return {pipe_[0], [this] { return std::exchange(interrupt_, false); }};
  }
  std::string line_;
};

TEST_F(LineReaderTest, gives_lines_however_they_arrive_and_a_last_one_without_an_end) {
  LineReader lines = reader();
  type("one\ntw");
  EXPECT_EQ(lines.next(line_), Read::kLine);
  EXPECT_EQ(line_, "one");
  type("o\n\nthree");
  end();
  for (const char* expected : {"two", "", "three"}) {
    EXPECT_EQ(lines.next(line_), Read::kLine);
    EXPECT_EQ(line_, expected);
  }
  EXPECT_EQ(lines.next(line_), Read::kEnd);
  EXPECT_EQ(lines.next(line_), Read::kEnd);
}

TEST_F(LineReaderTest, an_interrupt_drops_what_was_typed_and_the_next_line_is_whole) {
  LineReader lines = reader();
  interrupt_ = true;
  EXPECT_EQ(lines.next(line_), Read::kInterrupted);
  type("again\n");
  EXPECT_EQ(lines.next(line_), Read::kLine);
  EXPECT_EQ(line_, "again");
}

TEST(Interrupt, is_noted_once_and_taken_once) {
  catch_interrupts();
  EXPECT_FALSE(take_interrupt());
  ::raise(SIGINT);
  EXPECT_TRUE(take_interrupt());
  EXPECT_FALSE(take_interrupt());
  ::raise(SIGINT);
  EXPECT_EXIT(::raise(SIGINT), testing::ExitedWithCode(kInterruptedStatus), "");
  take_interrupt();
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace
}  // namespace tokamak::cli
