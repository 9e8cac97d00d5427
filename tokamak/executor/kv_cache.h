// SPDX-License-Identifier: Apache-2.0
// Which page of the KV pool belongs to whom. Only numbers: the memory is the session's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tokamak/op/batch.h"

namespace tokamak::executor {

/// Pages that hold `num_tokens` positions.
constexpr int64_t pages_for(int64_t num_tokens) {
  return (num_tokens + op::kPageTokens - 1) / op::kPageTokens;
}

/// The pages of one sequence in order of position. Owned by a KvCache that it must outlive nothing
/// of: give it back with release().
using PageTable = std::vector<int32_t>;

/// Hands out pages and takes them back, each in constant time. A page is free or referenced by one
/// or more tables; a page with one reference may be written by its holder, a shared page by nobody.
/// Invariant: free_pages() + used_pages() == num_pages(). Used by one thread.
class KvCache {
 public:
  explicit KvCache(int64_t num_pages);

  int64_t num_pages() const { return static_cast<int64_t>(references_.size()); }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  int64_t used_pages() const { return num_pages() - free_pages(); }
  int32_t references(int32_t page) const { return references_[page]; }
  /// Tables may write only here.
  bool writable(int32_t page) const { return references_[page] == 1; }

  /// Appends fresh pages until `table` holds `num_tokens` positions. False, and nothing is changed,
  /// if there are not enough free pages.
  [[nodiscard]] bool grow(PageTable& table, int64_t num_tokens);
  /// Appends the pages of a shared prefix and takes a reference to each.
  void share(PageTable& table, std::span<const int32_t> pages);
  /// Gives back every page of `table` and empties it.
  void release(PageTable& table);

 private:
  std::vector<int32_t> references_;  // 0: free.
  std::vector<int32_t> free_;        // A stack, so that the page used last is used next.
};

}  // namespace tokamak::executor
