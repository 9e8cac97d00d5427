// SPDX-License-Identifier: Apache-2.0
// Remembers how short words were encoded. Goals: a fixed amount of memory, no locks, any number of
// threads. A word has one place; a newcomer takes it over. Non-goal: remembering everything.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tokamak/text/tokenizer.h"

namespace tokamak::text {

class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 32;
  static constexpr size_t kMaxIds = 6;

  WordCache();
  ~WordCache();
  WordCache(const WordCache&) = delete;
  WordCache& operator=(const WordCache&) = delete;

  /// Appends the ids of the word and returns true, if it is remembered. `hash` is the word's.
  bool find(std::string_view word, uint64_t hash, std::vector<TokenId>& ids) const;
  /// Remembers the word, unless it or its ids are too long or another thread is at the same place.
  void store(std::string_view word, uint64_t hash, const TokenId* ids, size_t count);

 private:
  // One cache line. Every word of it is atomic; `version` is odd while a writer is inside, and a
  // reader that sees it change starts over as if the word were unknown (a sequence lock).
  struct alignas(64) Slot {
    std::atomic<uint32_t> version{0};
    std::atomic<uint32_t> sizes{0};  // Bytes of the word, << 8 number of ids, 0 if free.
    std::array<std::atomic<uint64_t>, kMaxWordBytes / 8> word{};
    std::array<std::atomic<uint64_t>, kMaxIds / 2> ids{};
  };
  static_assert(sizeof(Slot) == 64);
  static constexpr size_t kSlots = size_t{1} << 16;

  Slot* slots_;
};

}  // namespace tokamak::text
