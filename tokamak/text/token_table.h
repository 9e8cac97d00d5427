// SPDX-License-Identifier: Apache-2.0
// The set of tokens of a vocabulary: bytes to id and id to bytes. Hundreds of thousands of short
// strings in one block of memory, found by open addressing, because a server loads it at start.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/text/tokenizer.h"

namespace tokamak::text {

/// No vocabulary has more ids than this; a larger id in a file is an error.
inline constexpr int64_t kMaxTokens = int64_t{1} << 22;

class TokenTable {
 public:
  /// Room for this many tokens of this many bytes together, so that loading never rehashes.
  void reserve(size_t tokens, size_t bytes);
  /// Gives `token` the id. If the token has an id it gets the new one; if the id has a token, the
  /// new one takes its place for token(). `id` must be in [0, kMaxTokens).
  void set(std::string_view token, TokenId id);

  std::optional<TokenId> find(std::string_view token) const;
  /// Empty for an id without a token.
  std::string_view token(TokenId id) const {
    if (id < 0 || static_cast<size_t>(id) >= ids_.size()) return {};
    return {arena_.data() + ids_[id].offset, ids_[id].size};
  }
  bool has(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < ids_.size() && ids_[id].offset != kUnused;
  }
  /// The largest id + 1.
  int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  /// Number of distinct tokens.
  int64_t count() const { return static_cast<int64_t>(used_); }
  size_t longest() const { return longest_; }

 private:
  static constexpr uint32_t kUnused = 0;  // The arena starts with one spare byte.
  struct Span {
    uint32_t offset = kUnused, size = 0;
  };
  struct Slot {
    uint32_t hash = 0, offset = kUnused, size = 0;
    TokenId id = -1;
  };
  Slot& slot_of(std::string_view token, uint32_t hash);
  void grow(size_t slots);

  std::string arena_ = std::string(1, '\0');
  std::vector<Span> ids_;
  std::vector<Slot> slots_;
  size_t used_ = 0;
  size_t longest_ = 0;
};

}  // namespace tokamak::text
