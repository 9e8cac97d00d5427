// SPDX-License-Identifier: Apache-2.0
// Which page holds which tokens after which prefix.
//
// Goals: a page is never taken for another (every hit compares salt, length, tokens and the page
// before it, so a hash that collides costs a hit and nothing else); nobody can make hashes collide
// on purpose (they are keyed with a secret of the process). Non-goals: pages that are partly
// filled.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "tokamak/executor/siphash.h"
#include "tokamak/op/batch.h"

namespace tokamak::executor {

struct PrefixOptions {
  bool enabled = true;
  int hash_bits = 128;  ///< Fewer make collisions, for tests.
};

/// A sequence as the index sees it: a hash for each full page that covers the page and all before
/// it, made when it is first asked for.
struct PrefixKeys {
  std::string salt;
  std::vector<base::Hash128> pages;
  bool is_long = false;  ///< Of a long sequence (op::SequenceSpan), whose keys are other ones.
};

/// A tree of full pages: below each, the pages that continue it; the first pages of all sequences
/// hang by their salt and by whether they are long. Knows tokens, not who holds the pages. Used by
/// one thread.
class PrefixIndex {
 public:
  PrefixIndex(int64_t num_pages, const PrefixOptions& options);

  /// The page that holds tokens [64 n, 64 n + 64) of the sequence `tokens`; `parent` holds the 64
  /// before them (-1 if n is 0). Nothing if no page is known to.
  std::optional<int32_t> find(size_t n,
                              int32_t parent,
                              PrefixKeys& keys,
                              std::span<const int32_t> tokens) const;
  /// From now on `page` holds these tokens. False if it cannot be found under its hash, because a
  /// page of other tokens has the same.
  bool insert(
      int32_t page, size_t n, int32_t parent, PrefixKeys& keys, std::span<const int32_t> tokens);
  /// What `page` holds is about to change. Pages below it can be found no more.
  void erase(int32_t page);

  bool contains(int32_t page) const { return nodes_[page].serial != 0; }

 private:
  using Hash128 = base::Hash128;
  struct Node {
    uint64_t serial = 0;  // Of its insertion; 0: not in the index.
    int32_t parent = -1;
    uint64_t parent_serial = 0;  // Tells a parent from another that has its page now.
    Hash128 key;
    std::string salt;      // Of a node without parent,
    bool is_long = false;  // as is this.
  };
  struct KeyHash {
    size_t operator()(const Hash128& key) const { return key.low; }
  };

  const Hash128& key_of(size_t n, PrefixKeys& keys, std::span<const int32_t> tokens) const;
  bool orphaned(int32_t page) const;  // The page before it holds something else now.
  bool holds(int32_t page,
             size_t n,
             int32_t parent,
             const PrefixKeys& keys,
             std::span<const int32_t> tokens) const;

  const PrefixOptions options_;
  SipHash hash_;
  std::vector<Node> nodes_;      // By page.
  std::vector<int32_t> tokens_;  // 64 of each page.
  std::unordered_map<Hash128, int32_t, KeyHash> pages_;
  uint64_t next_serial_ = 1;
};

}  // namespace tokamak::executor
