// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/rank_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::engine {
namespace {

using testing::HasSubstr;

RankFile sample() {
  return {.plan = R"({"steps":[]})",
          .code = {{"attend_split", "0123", std::string("a\n\0b", 4)}, {"greedy", "4567", ""}}};
}

TEST(RankFile, gives_back_what_was_written) {
  auto file = read_rank_file(write_rank_file(sample()), "rank0.engine");
  ASSERT_TRUE(file.ok()) << file.error().text();
  EXPECT_EQ(file->plan, sample().plan);
  ASSERT_EQ(file->code.size(), 2u);
  EXPECT_EQ(file->code[0].name, "attend_split");
  EXPECT_EQ(file->code[0].key, "0123");
  EXPECT_EQ(file->code[0].content, sample().code[0].content);
  EXPECT_EQ(file->code[1].content, "");
}

TEST(RankFile, a_part_that_is_too_short_or_too_long_is_an_error) {
  std::string content = write_rank_file(sample());
  EXPECT_THAT(read_rank_file(content + "x", "rank0.engine").error().message,
              HasSubstr("rank0.engine: 1 bytes too many"));
  for (size_t length = 0; length < content.size(); ++length) {
    auto file = read_rank_file(std::string_view(content).substr(0, length), "rank0.engine");
    ASSERT_FALSE(file.ok()) << length;
    EXPECT_EQ(file.error().code, ErrorCode::kCorrupt) << file.error().text();
  }
}

TEST(RankFile, sizes_that_cannot_be_are_errors) {
  for (const char* header : {R"({"plan_bytes":-1,"code":[]})",
                             R"({"plan_bytes":9223372036854775807,"code":[]})",
                             R"({"plan_bytes":0,"code":[{"name":"a","key":"b","bytes":-1}]})",
                             R"({"plan_bytes":0,"code":[{"name":"a","bytes":0}]})",
                             R"({"plan_bytes":0,"code":{}})",
                             R"({"plan_bytes":0})",
                             "[]",
                             "7"}) {
    auto file = read_rank_file(std::string(header) + "\n", "rank0.engine");
    ASSERT_FALSE(file.ok()) << header;
    EXPECT_EQ(file.error().code, ErrorCode::kCorrupt) << file.error().text();
  }
}

}  // namespace
}  // namespace tokamak::engine
