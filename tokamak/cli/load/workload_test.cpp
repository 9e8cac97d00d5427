// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/load/workload.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/base/file.h"

namespace tokamak::cli {
namespace {

using testing::HasSubstr;

class TraceTest : public testing::Test {
 protected:
  std::string write(std::string_view text) {
    EXPECT_TRUE(base::write_file_atomic(path_, text).ok());
    return path_.string();
  }
  void TearDown() override { std::filesystem::remove(path_); }
  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / fmt::format("tokamak_trace_{}", ::getpid());
};

TEST_F(TraceTest, azure_and_mooncake_traces_are_read) {
  auto azure = read_trace(
      write("TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
            "2023-11-16 18:17:03.5000000,4808,10\r\n2023-11-16 18:18:04.0000000,34,8\r\n"));
  ASSERT_TRUE(azure.ok()) << azure.error().text();
  ASSERT_EQ(azure->size(), 2u);
  EXPECT_EQ((*azure)[0].at, 0);
  EXPECT_EQ((*azure)[0].input_len, 4808);
  EXPECT_DOUBLE_EQ((*azure)[1].at, 60.5);
  EXPECT_EQ((*azure)[1].output_len, 8);
  auto mooncake = read_trace(
      write(R"({"timestamp": 1000, "input_length": 700, "output_length": 5, "hash_ids": [0, 7]})"
            "\n"
            R"({"timestamp": 3500, "input_length": 600, "output_length": 6, "hash_ids": [0, 8]})"));
  ASSERT_TRUE(mooncake.ok()) << mooncake.error().text();
  EXPECT_DOUBLE_EQ((*mooncake)[1].at, 2.5);
  EXPECT_THAT((*mooncake)[1].blocks, testing::ElementsAre(0, 8));
  // Equal blocks are equal words, and only they.
  auto first = prompt_ids((*mooncake)[0], 0, 1000), second = prompt_ids((*mooncake)[1], 0, 1000);
  ASSERT_EQ(first.size(), 700u);
  ASSERT_EQ(second.size(), 600u);
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + kBlockTokens, second.begin()));
  EXPECT_NE(first[kBlockTokens], second[kBlockTokens]);
}

TEST_F(TraceTest, errors_name_the_file_and_the_line) {
  auto error = [&](std::string_view text) { return read_trace(write(text)).error().message; };
  EXPECT_THAT(error("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1\n"),
              HasSubstr("line 2: not three fields"));
  EXPECT_THAT(error("TIMESTAMP,ContextTokens,GeneratedTokens\nnoon,1,2\n"),
              HasSubstr("line 2: the first field is no time"));
  EXPECT_THAT(error("{\"timestamp\": 1}\n"), HasSubstr("'input_length' is missing"));
  EXPECT_THAT(error("TIMESTAMP,ContextTokens,GeneratedTokens\n"), HasSubstr("no requests in it"));
  EXPECT_THAT(error("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n"
                    "2023-11-16 18:17:02,1,1\n"),
              HasSubstr("go back"));
}

TEST(Workload, draws_lengths_times_and_fates) {
  Workload workload = Workload::make({.rate = 50,
                                      .requests = 4000,
                                      .input_len = 100,
                                      .output_len = 40,
                                      .vary = 0.5,
                                      .disconnect_share = 0.05,
                                      .malformed_share = 0.02})
                          .value();
  int64_t count = 0, gone = 0, malformed = 0, inputs = 0;
  double last = 0;
  while (auto next = workload.next()) {
    ++count;
    EXPECT_GE(next->at, last);
    last = next->at;
    EXPECT_GE(next->input_len, 50);
    EXPECT_LE(next->input_len, 100);
    EXPECT_GE(next->output_len, 20);
    inputs += next->input_len;
    gone += next->fate == Fate::kDisconnected;
    malformed += next->fate == Fate::kMalformed;
  }
  EXPECT_EQ(count, 4000);
  EXPECT_NEAR(last, 80, 8);
  EXPECT_NEAR(static_cast<double>(inputs) / 4000, 75, 1);
  EXPECT_NEAR(static_cast<double>(gone), 200, 60);
  EXPECT_NEAR(static_cast<double>(malformed), 80, 40);
}

TEST(Workload, refuses_what_makes_no_sense) {
  EXPECT_EQ(Workload::make({.vary = 2}).error().message, "vary is 2, must be between 0 and 1");
  EXPECT_THAT(Workload::make({.disconnect_share = 0.7, .malformed_share = 0.7}).error().message,
              HasSubstr("is 1.4, must be between 0 and 1"));
  EXPECT_FALSE(Workload::make({.trace = "/nowhere"}).ok());
}

TEST(Workload, prompts_of_one_shared_prefix_begin_alike) {
  PlannedRequest one{.input_len = 20, .seed = 1}, two{.input_len = 20, .seed = 2};
  std::string first = prompt_words(one, 10), second = prompt_words(two, 10);
  size_t tenth = 0;
  for (int i = 0; i < 10; ++i) tenth = first.find(' ', tenth) + 1;
  EXPECT_EQ(first.substr(0, tenth), second.substr(0, tenth));
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace tokamak::cli
