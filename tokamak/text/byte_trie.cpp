// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/byte_trie.h"

#include <algorithm>

namespace tokamak::text {

ByteTrie::ByteTrie(std::vector<Entry> entries) {
  std::erase_if(entries, [](const Entry& entry) { return entry.key.empty(); });
  if (entries.empty()) return;
  std::stable_sort(
      entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
  // Level by level: the entries [begin, end) share the `depth` bytes that lead to `node`.
  struct Range {
    uint32_t node;
    size_t begin, end, depth;
  };
  std::vector<Range> ranges{{0, 0, entries.size(), 0}};
  nodes_.emplace_back();
  for (size_t r = 0; r < ranges.size(); ++r) {
    auto [node, begin, end, depth] = ranges[r];
    while (begin < end && entries[begin].key.size() == depth) {
      nodes_[node].value = entries[begin++].value;
    }
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      auto label = static_cast<unsigned char>(entries[begin].key[depth]);
      size_t next = begin;
      while (next < end && static_cast<unsigned char>(entries[next].key[depth]) == label) ++next;
      auto child = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({0, kNone, 0, label});
      ++nodes_[node].num_children;
      if (node == 0) first_[label] = child;
      ranges.push_back({child, begin, next, depth + 1});
      begin = next;
    }
  }
}

uint32_t ByteTrie::child(uint32_t node, unsigned char byte) const {
  const Node* begin = nodes_.data() + nodes_[node].first_child;
  const Node* end = begin + nodes_[node].num_children;
  if (end - begin > 8) {
    begin = std::lower_bound(
        begin, end, byte, [](const Node& n, unsigned char label) { return n.label < label; });
    return begin != end && begin->label == byte ? static_cast<uint32_t>(begin - nodes_.data()) : 0;
  }
  for (; begin != end; ++begin) {
    if (begin->label == byte) return static_cast<uint32_t>(begin - nodes_.data());
  }
  return 0;
}

}  // namespace tokamak::text
