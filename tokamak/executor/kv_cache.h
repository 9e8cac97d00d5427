// SPDX-License-Identifier: Apache-2.0
// Which page of the KV pool belongs to whom, and which pages are kept for those who come with the
// same prefix. Only numbers: the memory is the session's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tokamak/executor/prefix_index.h"
#include "tokamak/op/batch.h"

namespace tokamak::executor {

/// Pages that hold `num_tokens` positions.
constexpr int64_t pages_for(int64_t num_tokens) {
  return (num_tokens + op::kPageTokens - 1) / op::kPageTokens;
}

/// The pages of one sequence in order of position. Owned by a KvCache that it must outlive nothing
/// of: give it back with release().
using PageTable = std::vector<int32_t>;

/// Hands out pages and takes them back, each in constant time. A page is used (referenced by one or
/// more tables), free, or cached: no table references it, but its tokens are known, so that a
/// sequence with the same prefix takes it as it is; pages are taken from the free ones first, then
/// from the cached ones, least recently used first. A page with one reference may be written by its
/// holder until it is published, a published page by nobody.
/// Invariants: free + used + cached == num_pages; the published pages of a table are its first,
/// each below the one before it in the index; so of cached pages, those below go before those
/// above. Used by one thread.
class KvCache {
 public:
  explicit KvCache(int64_t num_pages, const PrefixOptions& prefix = {});

  int64_t num_pages() const { return static_cast<int64_t>(references_.size()); }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  int64_t cached_pages() const { return num_cached_; }
  int64_t used_pages() const { return num_pages() - free_pages() - cached_pages(); }
  /// Pages that grow() can hand out.
  int64_t available_pages() const { return free_pages() + cached_pages(); }
  /// Cached pages that were handed out as fresh ones since the beginning.
  int64_t evictions() const { return evictions_; }
  int32_t references(int32_t page) const { return references_[page]; }
  bool published(int32_t page) const { return index_.contains(page); }
  /// Tables may write only here.
  bool writable(int32_t page) const { return references_[page] == 1 && !published(page); }

  /// Appends fresh pages until `table` holds `num_tokens` positions. False, and nothing is changed,
  /// if there are not enough available pages.
  [[nodiscard]] bool grow(PageTable& table, int64_t num_tokens);
  /// Gives back the pages of `table` behind those for `num_tokens` positions, which are not
  /// published.
  void shrink(PageTable& table, int64_t num_tokens);
  /// The pages behind those of `table`, which are all published, that hold the next tokens of the
  /// sequence `tokens`, up to `most` pages in all. Takes no reference. `found` is cleared and
  /// filled.
  void find(const PageTable& table,
            int64_t most,
            PrefixKeys& keys,
            std::span<const int32_t> tokens,
            PageTable& found) const;
  /// Appends used or cached pages and takes a reference to each.
  void share(PageTable& table, std::span<const int32_t> pages);
  /// Page `n` of `table` now holds its 64 tokens of the sequence `tokens`, and those before it were
  /// published. If there is another page of these tokens, the table goes on with that one. Returns
  /// false, and the page stays private, if it cannot be published.
  bool publish(PageTable& table, size_t n, PrefixKeys& keys, std::span<const int32_t> tokens);
  /// Gives back every page of `table` and empties it. With `forget`, nobody finds those that it
  /// held alone again: what is in them may be wrong.
  void release(PageTable& table, bool forget = false);

  /// For tests. Throws CheckFailure if an invariant does not hold.
  void check_invariants() const;

 private:
  int32_t take();
  void reference(int32_t page);
  void release(int32_t page, bool forget);
  void append_cached(int32_t page);
  void remove_cached(int32_t page);

  struct Links {
    int32_t before = -1, after = -1;
  };

  std::vector<int32_t> references_;  // 0: free or cached.
  std::vector<int32_t> free_;        // A stack, so that the page used last is used next.
  PrefixIndex index_;
  std::vector<Links> cached_;  // By page: the list of cached pages in order of their last use.
  int32_t first_cached_ = -1, last_cached_ = -1;
  int64_t num_cached_ = 0;
  int64_t evictions_ = 0;
};

}  // namespace tokamak::executor
