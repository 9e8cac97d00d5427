// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/kv_cache.h"

#include <map>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::executor {
namespace {

using testing::ElementsAre;

TEST(KvCache, GrowsATableByPagesOfSixtyFourTokens) {
  KvCache cache(4);
  PageTable table;
  EXPECT_TRUE(cache.grow(table, 0));
  EXPECT_TRUE(table.empty());
  EXPECT_TRUE(cache.grow(table, 1));
  EXPECT_THAT(table, ElementsAre(0));
  EXPECT_TRUE(cache.grow(table, 64));
  EXPECT_EQ(table.size(), 1u);
  EXPECT_TRUE(cache.grow(table, 65));
  EXPECT_THAT(table, ElementsAre(0, 1));
  EXPECT_TRUE(cache.grow(table, 3)) << "a table never shrinks";
  EXPECT_EQ(table.size(), 2u);
}

TEST(KvCache, ChangesNothingWhenThereAreNotEnoughPages) {
  KvCache cache(3);
  PageTable first, second;
  ASSERT_TRUE(cache.grow(first, 2 * 64));
  EXPECT_FALSE(cache.grow(second, 2 * 64));
  EXPECT_TRUE(second.empty());
  EXPECT_EQ(cache.free_pages(), 1);
  cache.release(first);
  EXPECT_TRUE(cache.grow(second, 3 * 64));
  EXPECT_EQ(cache.free_pages(), 0);
}

TEST(KvCache, ASharedPageIsFreeWhenItsLastHolderLetsGo) {
  KvCache cache(4);
  PageTable writer, reader;
  ASSERT_TRUE(cache.grow(writer, 2 * 64));
  EXPECT_TRUE(cache.writable(writer[0]));
  cache.share(reader, std::span(writer).first(1));
  EXPECT_FALSE(cache.writable(writer[0]));
  ASSERT_TRUE(cache.grow(reader, 2 * 64));
  cache.release(writer);
  EXPECT_EQ(cache.used_pages(), 2);
  EXPECT_TRUE(cache.writable(reader[0]));
  cache.release(reader);
  EXPECT_EQ(cache.used_pages(), 0);
}

TEST(KvCache, SharingAFreePageIsABug) {
  KvCache cache(4);
  PageTable table;
  const int32_t page = 2;
  EXPECT_THROW(cache.share(table, std::span(&page, 1)), base::CheckFailure);
}

/// A sequence of full pages, each of one token 64 times.
struct Sequence {
  explicit Sequence(const std::vector<int32_t>& pages, std::string salt = "")
      : keys{std::move(salt), {}} {
    for (int32_t token : pages) tokens.insert(tokens.end(), 64, token);
  }
  /// As if it were computed: takes what is there, publishes the rest.
  PageTable& compute(KvCache& cache) {
    PageTable found;
    cache.find(table, pages_for(size()), keys, tokens, found);
    cache.share(table, found);
    const size_t first = table.size();
    EXPECT_TRUE(cache.grow(table, size()));
    for (size_t n = first; n < table.size(); ++n) {
      EXPECT_TRUE(cache.publish(table, n, keys, tokens));
    }
    cache.check_invariants();
    return table;
  }
  size_t cached_pages(const KvCache& cache) {
    PageTable found;
    cache.find({}, pages_for(size()), keys, tokens, found);
    return found.size();
  }
  int64_t size() const { return static_cast<int64_t>(tokens.size()); }

  std::vector<int32_t> tokens;
  PrefixKeys keys;
  PageTable table;
};

TEST(KvCache, APublishedPageIsWrittenByNobodyAndKeptWhenItIsReleased) {
  KvCache cache(4);
  Sequence sequence({1, 2});
  PageTable& table = sequence.compute(cache);
  EXPECT_TRUE(cache.published(table[0]));
  EXPECT_FALSE(cache.writable(table[0])) << "with one reference";
  cache.release(table);
  EXPECT_EQ(cache.used_pages(), 0);
  EXPECT_EQ(cache.cached_pages(), 2);
  EXPECT_EQ(cache.available_pages(), 4);
  EXPECT_EQ(sequence.cached_pages(cache), 2u);
}

TEST(KvCache, CachedPagesGoAfterFreeOnesLeastRecentlyUsedFirstAndEndsBeforeBeginnings) {
  KvCache cache(6);
  Sequence old({1, 2}), recent({3, 4});
  cache.release(old.compute(cache));
  cache.release(recent.compute(cache));
  PageTable table;
  ASSERT_TRUE(cache.grow(table, 2 * 64));
  EXPECT_EQ(cache.evictions(), 0) << "two pages were free";
  const std::vector<std::pair<size_t, size_t>> left = {{1, 2}, {0, 2}, {0, 1}, {0, 0}};
  for (size_t i = 0; i < left.size(); ++i) {
    ASSERT_TRUE(cache.grow(table, static_cast<int64_t>(3 + i) * 64));
    cache.check_invariants();
    EXPECT_EQ(cache.evictions(), static_cast<int64_t>(i + 1));
    EXPECT_EQ(std::pair(old.cached_pages(cache), recent.cached_pages(cache)), left[i]) << i;
  }
  EXPECT_FALSE(cache.grow(table, 7 * 64));
}

TEST(KvCache, APageThatIsUsedAgainBecomesTheMostRecent) {
  KvCache cache(4);
  Sequence first({1, 2}), second({3, 4}), third({5, 6});
  cache.release(first.compute(cache));
  cache.release(second.compute(cache));
  const PageTable again = first.compute(cache);
  EXPECT_EQ(cache.evictions(), 0);
  EXPECT_EQ(cache.cached_pages(), 2);
  cache.release(first.table);
  cache.release(third.compute(cache));
  EXPECT_EQ(cache.evictions(), 2);
  EXPECT_EQ(second.cached_pages(cache), 0u);
  EXPECT_EQ(first.cached_pages(cache), 2u);
  EXPECT_EQ(first.compute(cache), again) << "the very pages";
}

TEST(KvCache, NoPageInUseIsEverGivenAway) {
  KvCache cache(4);
  Sequence holder({1, 2}), other({1, 2, 3, 4});
  holder.compute(cache);
  cache.release(other.compute(cache));
  PageTable table;
  EXPECT_TRUE(cache.grow(table, 2 * 64));
  EXPECT_FALSE(cache.grow(table, 3 * 64));
  EXPECT_EQ(holder.cached_pages(cache), 2u);
  EXPECT_EQ(cache.references(holder.table[0]), 1);
}

TEST(KvCache, OfEqualPagesThatTwoComputedOneIsKept) {
  KvCache cache(4);
  Sequence first({1}), second({1});
  ASSERT_TRUE(cache.grow(first.table, 64));
  ASSERT_TRUE(cache.grow(second.table, 64));
  ASSERT_TRUE(cache.publish(first.table, 0, first.keys, first.tokens));
  ASSERT_TRUE(cache.publish(second.table, 0, second.keys, second.tokens));
  EXPECT_EQ(first.table, second.table);
  EXPECT_EQ(cache.references(first.table[0]), 2);
  EXPECT_EQ(cache.used_pages(), 1);
  EXPECT_EQ(cache.free_pages(), 3);
  cache.check_invariants();
}

TEST(KvCache, AfterAPageThatIsNotPublishedNoneIs) {
  KvCache cache(4);
  Sequence sequence({1, 2});
  ASSERT_TRUE(cache.grow(sequence.table, 2 * 64));
  EXPECT_FALSE(cache.publish(sequence.table, 1, sequence.keys, sequence.tokens));
  EXPECT_TRUE(cache.writable(sequence.table[1]));
  cache.release(sequence.table);
  EXPECT_EQ(cache.cached_pages(), 0);
}

TEST(KvCache, WhatIsForgottenIsFoundNoMoreUnlessOthersHoldIt) {
  KvCache cache(6);
  Sequence failed({1, 2, 3}), holder({1});
  failed.compute(cache);
  holder.compute(cache);
  cache.release(failed.table, true);
  cache.check_invariants();
  EXPECT_EQ(cache.cached_pages(), 0);
  EXPECT_EQ(failed.cached_pages(cache), 1u);
  cache.release(holder.table);
  EXPECT_EQ(cache.cached_pages(), 1);
}

// Against a model: sets of holders of each page.
TEST(KvCache, AgreesWithASimpleModelUnderRandomOperations) {
  constexpr int64_t kPages = 50;
  std::mt19937_64 random(3);
  KvCache cache(kPages);
  std::map<int, PageTable> tables;
  std::map<int32_t, std::set<int>> holders;
  int next = 0;
  for (int round = 0; round < 20000; ++round) {
    const int action = static_cast<int>(random() % 4);
    auto any = tables.begin();
    if (!tables.empty()) std::advance(any, random() % tables.size());
    if (action == 0 || tables.empty()) {
      tables[next++];
    } else if (action == 1) {
      auto& [name, table] = *any;
      const auto before = table;
      const int64_t tokens = static_cast<int64_t>(random() % (8 * 64));
      const int64_t missing =
          std::max<int64_t>(0, pages_for(tokens) - static_cast<int64_t>(table.size()));
      const bool fits = missing <= kPages - static_cast<int64_t>(holders.size());
      ASSERT_EQ(cache.grow(table, tokens), fits);
      ASSERT_EQ(table.size(), before.size() + (fits ? missing : 0));
      ASSERT_TRUE(std::equal(before.begin(), before.end(), table.begin()));
      for (size_t i = before.size(); i < table.size(); ++i) {
        ASSERT_EQ(holders.count(table[i]), 0u) << "page " << table[i] << " has two writers";
        holders[table[i]].insert(name);
      }
    } else if (action == 2) {
      const auto source = any->second;
      const size_t count = random() % (source.size() + 1);
      cache.share(tables[next], std::span(source).first(count));
      for (size_t i = 0; i < count; ++i) holders[source[i]].insert(next);
      ++next;
    } else {
      for (int32_t page : any->second) {
        holders[page].erase(any->first);
        if (holders[page].empty()) holders.erase(page);
      }
      cache.release(any->second);
      tables.erase(any);
    }
    ASSERT_EQ(cache.free_pages() + cache.used_pages(), kPages);
    ASSERT_EQ(cache.used_pages(), static_cast<int64_t>(holders.size()));
    for (int32_t page = 0; page < kPages; ++page) {
      const auto found = holders.find(page);
      const size_t count = found == holders.end() ? 0 : found->second.size();
      ASSERT_EQ(cache.references(page), static_cast<int32_t>(count));
      ASSERT_EQ(cache.writable(page), count == 1);
    }
  }
}

}  // namespace
}  // namespace tokamak::executor
