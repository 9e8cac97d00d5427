// SPDX-License-Identifier: Apache-2.0
// The data structures under the models.
#include <algorithm>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/text/byte_level.h"
#include "tokamak/text/byte_trie.h"
#include "tokamak/text/hashing.h"
#include "tokamak/text/json_scanner.h"
#include "tokamak/text/merges.h"
#include "tokamak/text/token_table.h"
#include "tokamak/text/word_cache.h"

namespace tokamak::text {
namespace {

using testing::ElementsAre;

TEST(TokenTable, FindsTokensByTextAndById) {
  TokenTable table;
  for (TokenId id = 0; id < 2000; ++id) table.set("token" + std::to_string(id), id);
  table.set("", 2000);
  EXPECT_EQ(table.find("token1999"), 1999);
  EXPECT_EQ(table.find("token2000"), std::nullopt);
  EXPECT_EQ(table.find(""), 2000);
  EXPECT_EQ(table.token(17), "token17");
  EXPECT_EQ(table.token(-1), "");
  EXPECT_EQ(table.size(), 2001);
  EXPECT_EQ(table.count(), 2001);
  table.set("token17", 3000);
  EXPECT_EQ(table.find("token17"), 3000);
  EXPECT_TRUE(table.has(3000));
  EXPECT_FALSE(table.has(2999));
}

TEST(ByteTrie, FindsThePrefixesOfAText) {
  std::string many;
  std::vector<ByteTrie::Entry> entries = {{"ab", 1}, {"a", 2}, {"abcd", 3}, {"b", 4}, {"ab", 5}};
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.push_back(std::string("z") + static_cast<char>(b));
  for (int b = 0; b < 256; ++b) entries.push_back({bytes[b], 100 + b});
  ByteTrie trie(entries);
  EXPECT_EQ(trie.longest_prefix("abcx").value, 5);
  EXPECT_EQ(trie.longest_prefix("abcd").value, 3);
  EXPECT_EQ(trie.longest_prefix("xa").size, 0u);
  EXPECT_EQ(trie.longest_prefix("z\xfe").value, 100 + 0xfe);
  std::vector<size_t> sizes;
  trie.for_each_prefix("abcd", [&](ByteTrie::Prefix prefix) { sizes.push_back(prefix.size); });
  EXPECT_THAT(sizes, ElementsAre(1u, 2u, 4u));
  EXPECT_EQ(ByteTrie().longest_prefix("a").size, 0u);
}

/// Merging as it is defined: again and again the pair of lowest rank, the leftmost of equals.
std::vector<Symbol> merged_naively(const Merges& merges, std::vector<Symbol> symbols) {
  for (;;) {
    size_t best = symbols.size();
    Merges::Merge best_merge;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      auto merge = merges.find(symbols[i], symbols[i + 1]);
      if (merge.rank < best_merge.rank) {
        best = i;
        best_merge = merge;
      }
    }
    if (best == symbols.size()) return symbols;
    symbols[best] = best_merge.merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(Merges, ApplyByRankThenFromTheLeftForShortAndLongWords) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    Merges merges;
    for (uint32_t i = 0; i < 40; ++i) {
      // Few ranks, so that there are ties.
      merges.add(random() % 12, random() % 12, random() % 10, 4 + random() % 8);
    }
    std::vector<Symbol> word(random() % 120);
    for (Symbol& symbol : word) symbol = random() % 6;
    std::vector<Symbol> applied = word;
    merges.apply(applied);
    EXPECT_EQ(applied, merged_naively(merges, word));
  }
}

TEST(WordCache, GivesBackWhatWasStoredLast) {
  WordCache cache;
  std::vector<TokenId> ids;
  const TokenId stored[] = {7, 8, 9};
  EXPECT_FALSE(cache.find("word", 1, ids));
  cache.store("word", 1, stored, 3);
  ASSERT_TRUE(cache.find("word", 1, ids));
  EXPECT_THAT(ids, ElementsAre(7, 8, 9));
  EXPECT_FALSE(cache.find("wor", 1, ids));
  cache.store("other", 1, stored, 1);
  EXPECT_FALSE(cache.find("word", 1, ids));
  std::string longer(WordCache::kMaxWordBytes + 1, 'x');
  cache.store(longer, 2, stored, 1);
  EXPECT_FALSE(cache.find("", 2, ids));
}

TEST(WordCache, NeverMixesWordsOfThreads) {
  WordCache cache;
  auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<TokenId> ids;
    for (int i = 0; i < 20000; ++i) {
      auto n = static_cast<TokenId>(random() % 64);
      std::string word = "word" + std::to_string(n);
      uint64_t hash = static_cast<uint64_t>(n % 4) << 48;  // Words share places.
      ids.clear();
      if (cache.find(word, hash, ids)) {
        ASSERT_THAT(ids, ElementsAre(n, n + 1));
      } else {
        TokenId stored[] = {n, n + 1};
        cache.store(word, hash, stored, 2);
      }
    }
  };
  std::thread other(work, 1);
  work(2);
  other.join();
}

TEST(ByteAlphabet, WritesEveryByteAsOneCharacterAndBack) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  EXPECT_EQ(alphabet_to_bytes(bytes_to_alphabet(all)), all);
  EXPECT_EQ(bytes_to_alphabet(" a\n"), "ĠaĊ");
  EXPECT_EQ(alphabet_to_bytes("漢"), std::nullopt);
}

TEST(JsonScanner, ReadsValuesInOrder) {
  JsonScanner scanner(R"( {"a\n\u00e9\ud83d\ude0a": [1, -2.5, "x"], "b": null} )", "test");
  std::vector<std::string> seen;
  auto done = scanner.object([&](std::string_view key) -> Result<void> {
    seen.emplace_back(key);
    if (key == "b") {
      TKM_ASSIGN(std::string_view value, scanner.skip());
      seen.emplace_back(value);
      return {};
    }
    return scanner.array([&](size_t index) -> Result<void> {
      if (index == 0) {
        TKM_ASSIGN(int64_t value, scanner.integer());
        seen.push_back(std::to_string(value));
      } else if (index == 1) {
        TKM_ASSIGN(double value, scanner.number());
        seen.push_back(std::to_string(value));
      } else {
        TKM_ASSIGN(std::string_view value, scanner.string());
        seen.emplace_back(value);
      }
      return {};
    });
  });
  ASSERT_TRUE(done.ok()) << done.error().text();
  EXPECT_TRUE(scanner.end().ok());
  EXPECT_THAT(seen, ElementsAre("a\né😊", "1", "-2.500000", "x", "b", "null"));
}

TEST(JsonScanner, SaysWhatIsWrongAndWhere) {
  auto error = [](std::string_view text) {
    JsonScanner scanner(text, "f.json");
    auto skipped = scanner.skip();
    return skipped.ok() ? "(none)" : skipped.error().message;
  };
  EXPECT_EQ(error("[1 2]"), "f.json: not valid JSON: expected ']' at byte 3");
  EXPECT_EQ(error("\"ab"), "f.json: not valid JSON: the file ends in a string at byte 3");
  EXPECT_EQ(error("\"\n\""), "f.json: not valid JSON: control character in a string at byte 1");
  EXPECT_EQ(error("\"\\x\""), "f.json: not valid JSON: unknown escape in a string at byte 3");
  EXPECT_EQ(error("tru"), "f.json: expected a number at byte 0");
  EXPECT_EQ(error(std::string(100, '[')), "f.json: JSON is nested over 64 deep at byte 65");
}

}  // namespace
}  // namespace tokamak::text
