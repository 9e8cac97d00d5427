// SPDX-License-Identifier: Apache-2.0
// A set of byte strings with values, asked for its members that a text starts with.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tokamak::text {

class ByteTrie {
 public:
  static constexpr int32_t kNone = -1;
  struct Entry {
    std::string_view key;  ///< Not empty.
    int32_t value;         ///< Not negative.
  };
  struct Prefix {
    size_t size = 0;
    int32_t value = kNone;
  };

  ByteTrie() = default;
  /// Of equal keys the last one counts.
  explicit ByteTrie(std::vector<Entry> entries);

  bool empty() const { return nodes_.empty(); }
  /// The longest key that `text` starts with; size 0 if there is none.
  Prefix longest_prefix(std::string_view text) const {
    Prefix longest;
    for_each_prefix(text, [&](Prefix prefix) { longest = prefix; });
    return longest;
  }
  /// Calls visit(Prefix) for the keys that `text` starts with, shortest first.
  template <typename Visit>
  void for_each_prefix(std::string_view text, Visit&& visit) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      auto byte = static_cast<unsigned char>(text[i]);
      node = i == 0 ? first_[byte] : child(node, byte);
      if (node == 0) return;
      if (nodes_[node].value != kNone) visit(Prefix{i + 1, nodes_[node].value});
    }
  }
  /// Whether a key starts with this byte.
  bool starts(unsigned char byte) const { return first_[byte] != 0; }

 private:
  struct Node {
    uint32_t first_child = 0;
    int32_t value = kNone;
    uint16_t num_children = 0;
    unsigned char label = 0;  // The byte that leads here.
  };
  uint32_t child(uint32_t node, unsigned char byte) const;

  std::vector<Node> nodes_;  // The root is 0; children stand together, by label.
  std::array<uint32_t, 256> first_{};
};

}  // namespace tokamak::text
