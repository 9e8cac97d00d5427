// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/json_body.h"

#include <gtest/gtest.h>

namespace tokamak::server {
namespace {

std::string why(std::string_view text, const base::JsonLimits& limits = kBodyLimits) {
  auto parsed = parse_object(text, limits);
  return parsed.ok() ? "" : parsed.error().message;
}

TEST(JsonBody, IsAnObject) {
  EXPECT_EQ(parse_object(R"({"a":[1,{"b":null}]})").value()["a"][1]["b"], nullptr);
  EXPECT_EQ(why("[1]"), "body must be a JSON object, but is array");
  EXPECT_EQ(why(""), "body is not valid JSON, at byte 1");
  EXPECT_EQ(why(R"({"a":1}x)"), "body is not valid JSON, at byte 8");
  EXPECT_EQ(why(R"({"a":NaN})"), "body is not valid JSON, at byte 6");
}

TEST(JsonBody, IsUtf8) {
  EXPECT_EQ(why("{\"a\":\"\xff\"}"), "body is not valid UTF-8, at byte 7");
  EXPECT_EQ(why("{\"a\":\"\xed\xa0\x80\"}"), "body is not valid UTF-8, at byte 8");
  EXPECT_EQ(why(R"({"a":"\ud83d"})"), "body is not valid JSON, at byte 13");
  EXPECT_EQ(why("{\"a\":\"\xf0\x9f\x98\x80\"}"), "");
}

TEST(JsonBody, NamesEachMemberOnce) {
  EXPECT_EQ(why(R"({"a":{"b":1},"c":{"b":1}})"), "");
  EXPECT_EQ(why(R"({"n":1,"n":2})"), "body names 'n' twice in one object");
  EXPECT_EQ(why(R"({"a":[{"b":1,"b":1}]})"), "body names 'b' twice in one object");
}

TEST(JsonBody, HoldsNumbersThatFit) {
  EXPECT_EQ(why(R"({"a":1e999})"), "body holds a number that is beyond the range of a double");
  EXPECT_EQ(why(R"({"a":1e308,"b":18446744073709551615})"), "");
}

TEST(JsonBody, IsBounded) {
  const base::JsonLimits limits{
      .max_depth = 3, .max_values = 10, .max_members = 3, .members_once = true};
  EXPECT_EQ(why(R"({"a":[[1]]})", limits), "");
  EXPECT_EQ(why(R"({"a":[[[1]]]})", limits), "body is nested deeper than 3 levels");
  EXPECT_EQ(why(R"({"a":[1,2,3,4,5,6,7,8]})", limits), "");
  EXPECT_EQ(why(R"({"a":[1,2,3,4,5,6,7,8,9]})", limits), "body has more than 10 values");
  EXPECT_EQ(why(R"({"a":1,"b":2,"c":3,"d":4})", limits),
            "body has an object of more than 3 members");
  EXPECT_EQ(why(std::string(100'000, '[')), "body is nested deeper than 64 levels");
}

}  // namespace
}  // namespace tokamak::server
