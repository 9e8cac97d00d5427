// SPDX-License-Identifier: Apache-2.0
// The hand-written scanners against the regular expressions that they stand for.
#include "tokamak/text/scanner.h"

#include <random>

#include <gtest/gtest.h>

#include "tokamak/text/regex.h"
#include "tokamak/text/test_data.h"

namespace tokamak::text {
namespace {

/// The matches of a scanner, found as a search finds them.
std::vector<std::string> scanned(Scanner scan, std::string_view text) {
  std::vector<std::string> matches;
  for (size_t pos = 0; pos < text.size();) {
    size_t end = scan(text, pos);
    if (end > pos) {
      matches.emplace_back(text.substr(pos, end - pos));
      pos = end;
    } else {
      pos += utf8_size(text[pos]);
    }
  }
  return matches;
}

std::vector<std::string> searched(const Regex& regex, std::string_view text) {
  std::vector<std::string> matches;
  for (size_t pos = 0; pos < text.size();) {
    auto match = regex.find(text, pos);
    EXPECT_TRUE(match.ok());
    if (!match.ok() || !match->has_value()) break;
    matches.emplace_back(text.substr((*match)->begin, (*match)->end - (*match)->begin));
    pos = (*match)->end;
  }
  return matches;
}

void expect_same(Scanner scan, const Regex& regex, std::string_view name) {
  std::mt19937 random(17);
  for (int i = 0; i < 4000; ++i) {
    std::string text = test::random_text(random, 1 + i % 12);
    ASSERT_EQ(scanned(scan, text), searched(regex, text)) << name << ": '" << text << "'";
  }
}

class EachScanner : public testing::TestWithParam<ScannerSpec> {};

TEST_P(EachScanner, MatchesWhatItsPatternMatches) {
  auto regex = Regex::compile(GetParam().pattern);
  ASSERT_TRUE(regex.ok()) << regex.error().text();
  expect_same(GetParam().scan, *regex, GetParam().name);
}

TEST_P(EachScanner, MatchesSingleCharactersLikeItsPattern) {
  auto regex = Regex::compile(GetParam().pattern);
  ASSERT_TRUE(regex.ok()) << regex.error().text();
  // All of the planes in use but for the large uniform blocks, which are sampled. PCRE2 has older
  // data than ICU, so what is unassigned for it is left out.
  auto assigned = Regex::compile_pcre2("\\A\\P{Cn}\\z");
  ASSERT_TRUE(assigned.ok());
  for (char32_t c = 1; c < 0x30000; c += c >= 0x3400 && c < 0xd7a0 ? 37 : c >= 0x20000 ? 101 : 1) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text = "a ";
    append_utf8(text, c);
    if (!(*assigned->find(text.substr(2), 0))) continue;
    append_utf8(text, c);
    text += "b'";
    append_utf8(text, c);
    ASSERT_EQ(scanned(GetParam().scan, text), searched(*regex, text)) << std::hex << uint32_t(c);
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         EachScanner,
                         testing::ValuesIn(scanners().begin(), scanners().end()),
                         [](const auto& info) {
                           std::string name(info.param.name);
                           for (char& c : name) {
                             if (c == '.') c = '_';
                           }
                           return name;
                         });

TEST(Cl100kScanner, MatchesThePatternOfTiktoken) {
  auto regex = Regex::compile_pcre2(
      R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+)"
      R"(|\s++\z|\s*[\r\n]|\s+(?!\S)|\s)");
  ASSERT_TRUE(regex.ok()) << regex.error().text();
  expect_same(scan_cl100k, *regex, "cl100k");
}

TEST(FindScanner, GoesByTheExactPattern) {
  EXPECT_EQ(find_scanner("\\p{N}")->name, "number");
  EXPECT_EQ(find_scanner("\\p{N}+"), nullptr);
}

}  // namespace
}  // namespace tokamak::text
