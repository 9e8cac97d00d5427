// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/merges.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "tokamak/text/hashing.h"

namespace tokamak::text {
namespace {

// Up to here rescanning the word for its best pair beats keeping a heap.
constexpr size_t kShortWord = 48;

uint64_t pair_key(Symbol left, Symbol right) {
  return uint64_t{left} << 32 | right;
}

}  // namespace

void Merges::reserve(size_t merges) {
  size_t slots = std::bit_ceil(merges * 2 + 16);
  if (slots_.size() < slots) grow(slots);
}

void Merges::grow(size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  shift_ = 64 - std::countr_zero(slots);
  for (const Slot& slot : old) {
    if (slot.pair != kEmpty) slots_[slot_of(slot.pair)] = slot;
  }
}

size_t Merges::slot_of(uint64_t pair) const {
  size_t mask = slots_.size() - 1;
  size_t i = hash_integer(pair, hash_seed()) >> shift_;
  while (slots_[i].pair != pair && slots_[i].pair != kEmpty) i = (i + 1) & mask;
  return i;
}

void Merges::add(Symbol left, Symbol right, uint32_t rank, Symbol merged) {
  if ((used_ + 1) * 2 > slots_.size()) grow(std::max<size_t>(64, slots_.size() * 2));
  Slot& slot = slots_[slot_of(pair_key(left, right))];
  if (slot.pair == kEmpty) ++used_;
  slot = {pair_key(left, right), {rank, merged}};
}

Merges::Merge Merges::find(Symbol left, Symbol right) const {
  if (slots_.empty()) return {};
  return slots_[slot_of(pair_key(left, right))].merge;
}

void Merges::apply(std::vector<Symbol>& symbols) const {
  if (symbols.size() < 2) return;
  symbols.size() <= kShortWord ? apply_short(symbols) : apply_long(symbols);
}

void Merges::apply_short(std::vector<Symbol>& symbols) const {
  Merge merges[kShortWord];  // merges[i] joins symbols i and i + 1.
  size_t n = symbols.size();
  for (size_t i = 0; i + 1 < n; ++i) merges[i] = find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNever) break;
    symbols[best] = merges[best].merged;
    std::copy(symbols.begin() + best + 2, symbols.begin() + n, symbols.begin() + best + 1);
    if (best + 2 < n) std::copy(merges + best + 2, merges + n - 1, merges + best + 1);
    --n;
    if (best + 1 < n) merges[best] = find(symbols[best], symbols[best + 1]);
    if (best > 0) merges[best - 1] = find(symbols[best - 1], symbols[best]);
  }
  symbols.resize(n);
}

void Merges::apply_long(std::vector<Symbol>& symbols) const {
  // A list of the symbols that are left, and a heap of candidate merges (rank, position). An entry
  // of the heap is out of date when the pair at its position has another rank by now.
  constexpr uint32_t kEnd = UINT32_MAX;
  struct Node {
    uint32_t previous, next;
    Merge merge;  // With the next symbol.
  };
  auto n = static_cast<uint32_t>(symbols.size());
  std::vector<Node> nodes(n);
  std::vector<uint64_t> heap;
  heap.reserve(n);
  auto entry = [](uint32_t rank, uint32_t at) { return uint64_t{rank} << 32 | at; };
  for (uint32_t i = 0; i < n; ++i) {
    Node& node = nodes[i];
    node.previous = i == 0 ? kEnd : i - 1;
    node.next = i + 1 == n ? kEnd : i + 1;
    if (node.next != kEnd) node.merge = find(symbols[i], symbols[node.next]);
    if (node.merge.rank != kNever) heap.push_back(entry(node.merge.rank, i));
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue(std::greater<>{},
                                                                             std::move(heap));
  auto look_up = [&](uint32_t i) {
    Node& node = nodes[i];
    node.merge = node.next == kEnd ? Merge{} : find(symbols[i], symbols[node.next]);
    if (node.merge.rank != kNever) queue.push(entry(node.merge.rank, i));
  };
  while (!queue.empty()) {
    auto rank = static_cast<uint32_t>(queue.top() >> 32);
    auto i = static_cast<uint32_t>(queue.top());
    queue.pop();
    Node& node = nodes[i];
    if (node.merge.rank != rank) continue;
    uint32_t gone = node.next;
    symbols[i] = node.merge.merged;
    node.next = nodes[gone].next;
    nodes[gone].merge = {};
    if (node.next != kEnd) nodes[node.next].previous = i;
    look_up(i);
    if (node.previous != kEnd) look_up(node.previous);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i != kEnd; i = nodes[i].next) symbols[kept++] = symbols[i];
  symbols.resize(kept);
}

}  // namespace tokamak::text
