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
