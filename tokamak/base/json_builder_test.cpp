// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/json_builder.h"

#include <ctime>

#include <gtest/gtest.h>

namespace tokamak::base {
namespace {

TEST(JsonBuilder, BuildsWhatTheLibraryBuilds) {
  for (const char* text : {"null",
                           "true",
                           "-3",
                           "18446744073709551615",
                           "1.5e3",
                           R"("a\u00e9\n")",
                           "[]",
                           "{}",
                           R"([1,[2,{"a":[]}],{}])",
                           R"({"z":1,"a":{"b":[null,false]},"m":"x"})"}) {
    EXPECT_EQ(parse_json(text, "x").value(), Json::parse(text)) << text;
  }
  EXPECT_EQ(parse_json(R"({"b":1,"a":2})", "x")->dump(), R"({"b":1,"a":2})") << "in their order";
  for (const char* text : {"", "{", "[1,]", R"({"a"})", "1 2", "nul", "\"\xff\"", "1e999"}) {
    EXPECT_FALSE(parse_json(text, "x").ok()) << text;
  }
}

TEST(JsonBuilder, TakesTheLastOfTheMembersOfOneName) {
  EXPECT_EQ(parse_json(R"({"a":1,"b":2,"a":3,"c":4,"a":5})", "x")->dump(),
            R"({"a":5,"b":2,"c":4})");
}

TEST(JsonBuilder, BoundsTheDepth) {
  EXPECT_TRUE(parse_json("[[[1]]]", "x", 3).ok());
  EXPECT_EQ(parse_json("[[[[1]]]]", "x", 3).error().message, "x: JSON is nested more than 3 deep");
  EXPECT_FALSE(parse_json(std::string(1'000'000, '['), "x").ok());
}

double cpu_seconds_to_parse(const std::string& text) {
  double best = 1e9;
  for (int run = 0; run < 3; ++run) {
    const std::clock_t start = std::clock();
    EXPECT_TRUE(parse_json(text, "x").ok());
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

std::string repeated(int count, std::string_view open, std::string_view close, bool named) {
  std::string text(open);
  for (int i = 0; i < count; ++i) {
    if (i > 0) text += ',';
    text += named ? fmt::format("\"{}\":[]", i) : "{}";
  }
  return text + std::string(close);
}

// With a list or an object looked through for each child, four times the text takes sixteen times
// the time.
TEST(JsonBuilder, TakesTimeLinearInTheText) {
  for (bool named : {false, true}) {
    auto text = [&](int count) {
      return repeated(count, named ? "{" : "[", named ? "}" : "]", named);
    };
    EXPECT_LT(cpu_seconds_to_parse(text(200'000)), 8 * cpu_seconds_to_parse(text(50'000)));
  }
}

}  // namespace
}  // namespace tokamak::base
