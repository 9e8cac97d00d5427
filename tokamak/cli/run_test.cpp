// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/base/file.h"
#include "tokamak/cli/command_line.h"

namespace tokamak::cli {
namespace {

namespace fs = std::filesystem;
using testing::StartsWith;

/// The verb with the model that ships, without a terminal.
class RunTest : public testing::Test {
 protected:
  void SetUp() override { ::setenv("TOKAMAK_CACHE_DIR", cache_.c_str(), 1); }
  void TearDown() override {
    ::unsetenv("TOKAMAK_CACHE_DIR");
    fs::remove_all(cache_);
  }
  Result<int> run(std::vector<std::string> options) {
    std::vector<std::string> arguments = {
        "run", "models/storyteller", "--no-tune", "--quiet", "--temperature", "0", "-n", "8"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::unique_ptr<CLI::App> app = make_app();
    auto command = parse_command_line(*app, arguments);
    if (!command.ok()) return command.error();
    testing::internal::CaptureStdout();
    auto status = (*command)();
    printed_ = testing::internal::GetCapturedStdout();
    std::signal(SIGINT, SIG_DFL);
    return status;
  }
  const fs::path cache_ =
      fs::temp_directory_path() / fmt::format("tokamak_run_test_{}", ::getpid());
  std::string printed_;
};

TEST_F(RunTest, an_empty_prompt_is_a_prompt_that_this_model_refuses) {
  // Its tokenizer puts nothing before a text. A server of it answers the same.
  auto status = run({"--prompt", ""});
  ASSERT_FALSE(status.ok()) << "a chat would have begun: " << printed_;
  EXPECT_EQ(status.error().message, "prompt is empty, it needs at least one token");
  EXPECT_EQ(base::exit_status(status.error().code), 2);
  ASSERT_TRUE(base::make_folders(cache_).ok());
  ASSERT_TRUE(base::write_file_atomic(cache_ / "empty.txt", "").ok());
  EXPECT_EQ(run({"--prompt-file", (cache_ / "empty.txt").string()}).error().message,
            "prompt is empty, it needs at least one token");
}

TEST_F(RunTest, a_prompt_is_continued) {
  EXPECT_EQ(run({"--prompt", "Once upon a time"}).value(), 0);
  EXPECT_THAT(printed_, StartsWith("Once upon a time"));
  EXPECT_EQ(run({"--prompt", "", "--chat"}).value(), 0)
      << "an empty message is more than nothing in a template";
}

TEST_F(RunTest, what_the_user_gave_wrong_is_bad_input) {
  auto code = [&](std::vector<std::string> options) {
    auto status = run(std::move(options));
    return status.ok() ? *status : base::exit_status(status.error().code);
  };
  EXPECT_EQ(code({"-p", "x", "--dtype", "int3"}), 2);
  EXPECT_EQ(code({"-p", "x", "--top-p", "7"}), 2);
  EXPECT_EQ(code({"-p", "x", "--disable-pass", "no_such_pass"}), 2);
  EXPECT_EQ(code({"--prompt-file", "/no/such/file"}), 2);
}

}  // namespace
}  // namespace tokamak::cli
