// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/regex.h"

#include <gtest/gtest.h>

#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

std::string first_match(std::string_view pattern, std::string_view text) {
  auto regex = Regex::compile(pattern);
  if (!regex.ok()) return regex.error().text();
  auto match = regex->find(text, 0);
  if (!match.ok()) return match.error().text();
  if (!*match) return "(none)";
  return std::string(text.substr((*match)->begin, (*match)->end - (*match)->begin));
}

TEST(Regex, ReadsRubysDialect) {
  EXPECT_EQ(first_match("\\s", "\u180e\u3000"), "\u3000");
  EXPECT_EQ(first_match("\\h+", "xyz0fG"), "0f");
  EXPECT_EQ(first_match("(?m:a.b)", "a\nb"), "a\nb");
  EXPECT_EQ(first_match("^b", "a\nb"), "b");
  EXPECT_EQ(first_match("\\u4e00", "一"), "一");
  EXPECT_EQ(first_match("\\p{Han}+", "ー漢"), "漢");
  EXPECT_EQ(first_match("\\p{^L}", "a1"), "1");
  EXPECT_EQ(first_match("\\p{Letter}", "1a"), "a");
  EXPECT_EQ(first_match("[[:punct:]]", "a▁"), "▁");
  EXPECT_EQ(first_match("\\p{Punct}", "▁!"), "!");
}

TEST(Regex, CountsMarksAndSuperscriptsAsWordCharacters) {
  EXPECT_EQ(first_match("\\w+", "!e\u0301²"), "e\u0301²");
  EXPECT_EQ(first_match("[\\w]+", "²e"), "e");
  EXPECT_EQ(first_match("\\b.", "!\u0301a"), "\u0301");
}

TEST(Regex, UnitesAndIntersectsClasses) {
  EXPECT_EQ(first_match("[a-c[x-z]]+", "mxbyn"), "xby");
  EXPECT_EQ(first_match("[\\w&&[^\\d]]+", "12ab3"), "ab");
  EXPECT_EQ(first_match("[^a-z&&[^m]]", "am"), "m");
  EXPECT_EQ(first_match("[\\p{L}&&[^\\p{Han}]]+", "漢a"), "a");
}

TEST(Regex, RepeatsAnIntervalWithAPlus) {
  EXPECT_EQ(first_match("\\p{N}{1,3}+", "x12345"), "12345");
  EXPECT_EQ(first_match("(?:ab){1,2}+", "ababab"), "ababab");
  EXPECT_EQ(first_match("a++b", "aab"), "aab");
}

TEST(Regex, NamesWhatItCannotCompile) {
  for (std::string_view pattern :
       {"(", ")", "[", "[a&&]", "\\p{Nonsense}", "(?~a)", "a\\", "\\u12"}) {
    auto regex = Regex::compile(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.error().code, ErrorCode::kUnsupported);
  }
  EXPECT_FALSE(Regex::compile(std::string(10000, '(')).ok());
  EXPECT_FALSE(Regex::compile(std::string(10000, '[')).ok());
}

TEST(Regex, GivesUpOnEndlessBacktracking) {
  auto regex = Regex::compile("(a*)*c|(a|b|ab)*d");
  ASSERT_TRUE(regex.ok());
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "ab";
  auto match = regex->find(text, 0);
  ASSERT_FALSE(match.ok());
  EXPECT_EQ(match.error().code, ErrorCode::kUnsupported);
}

TEST(Regex, MatchesALiteral) {
  auto regex = Regex::literal("a.b\\E*é");
  ASSERT_TRUE(regex.ok()) << regex.error().text();
  auto match = regex->find("xa.b\\E*é", 0);
  ASSERT_TRUE(match.ok() && match->has_value());
  EXPECT_EQ((*match)->begin, 1u);
}

TEST(Unicode, FindsTheFirstInvalidByte) {
  EXPECT_FALSE(find_invalid_utf8("aé漢😊"));
  EXPECT_EQ(find_invalid_utf8("12345678\xc0\x80"), 8u);
  EXPECT_EQ(find_invalid_utf8("\xf4\x90\x80\x80"), 0u);
  EXPECT_EQ(find_invalid_utf8("a\xe0\x9f\xbf"), 1u);
}

}  // namespace
}  // namespace tokamak::text
