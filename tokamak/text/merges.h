// SPDX-License-Identifier: Apache-2.0
// The merges of byte-pair encoding (Sennrich et al., arXiv:1508.07909): which two neighbouring
// symbols become which, and how early. Of all pairs of a word the one of lowest rank merges first,
// the leftmost of equals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tokamak::text {

/// A token id, or a number that its owner gave to a character that is no token.
using Symbol = uint32_t;

class Merges {
 public:
  struct Merge {
    uint32_t rank = kNever;
    Symbol merged = 0;
  };
  static constexpr uint32_t kNever = UINT32_MAX;

  void reserve(size_t merges);
  /// `left` and `right`, side by side, become `merged`. A pair that is added again is replaced.
  void add(Symbol left, Symbol right, uint32_t rank, Symbol merged);
  size_t size() const { return used_; }

  /// The merge of the pair; its rank is kNever if there is none.
  Merge find(Symbol left, Symbol right) const;

  /// Merges `symbols` in place until no pair is left. O(n log n) in their number.
  void apply(std::vector<Symbol>& symbols) const;

 private:
  struct Slot {
    uint64_t pair = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;
  size_t slot_of(uint64_t pair) const;
  void grow(size_t slots);
  void apply_short(std::vector<Symbol>& symbols) const;
  void apply_long(std::vector<Symbol>& symbols) const;

  std::vector<Slot> slots_;
  int shift_ = 64;
  size_t used_ = 0;
};

}  // namespace tokamak::text
