// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/token_table.h"

#include <bit>

#include "tokamak/base/check.h"
#include "tokamak/text/hashing.h"

namespace tokamak::text {

void TokenTable::reserve(size_t tokens, size_t bytes) {
  ids_.reserve(tokens);
  arena_.reserve(bytes + 1);
  if (slots_.size() < tokens * 2) grow(std::bit_ceil(tokens * 2 + 16));
}

void TokenTable::grow(size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.offset == kUnused) continue;
    size_t mask = slots_.size() - 1;
    size_t i = slot.hash & mask;
    while (slots_[i].offset != kUnused) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

TokenTable::Slot& TokenTable::slot_of(std::string_view token, uint32_t hash) {
  size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    Slot& slot = slots_[i];
    if (slot.offset == kUnused) return slot;
    if (slot.hash == hash && std::string_view(arena_.data() + slot.offset, slot.size) == token) {
      return slot;
    }
  }
}

void TokenTable::set(std::string_view token, TokenId id) {
  TKM_CHECK(id >= 0 && id < kMaxTokens, "token id {}", id);
  if ((used_ + 1) * 2 > slots_.size()) grow(std::max<size_t>(64, slots_.size() * 2));
  auto hash = static_cast<uint32_t>(hash_bytes(token, hash_seed()));
  Slot& slot = slot_of(token, hash);
  if (slot.offset == kUnused) {
    TKM_CHECK(arena_.size() + token.size() < UINT32_MAX, "vocabulary of over 4 GiB");
    slot.hash = hash;
    slot.offset = static_cast<uint32_t>(arena_.size());
    slot.size = static_cast<uint32_t>(token.size());
    arena_ += token;
    arena_ += '\0';  // An empty token has an offset of its own.
    longest_ = std::max(longest_, token.size());
    ++used_;
  }
  slot.id = id;
  if (static_cast<size_t>(id) >= ids_.size()) ids_.resize(id + 1);
  ids_[id] = {slot.offset, slot.size};
}

std::optional<TokenId> TokenTable::find(std::string_view token) const {
  if (slots_.empty()) return {};
  auto hash = static_cast<uint32_t>(hash_bytes(token, hash_seed()));
  const Slot& slot = const_cast<TokenTable*>(this)->slot_of(token, hash);
  if (slot.offset == kUnused) return {};
  return slot.id;
}

}  // namespace tokamak::text
