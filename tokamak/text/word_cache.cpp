// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/word_cache.h"

#include <cstring>
#include <new>

#include <sys/mman.h>

namespace tokamak::text {
namespace {

using PackedWord = std::array<uint64_t, WordCache::kMaxWordBytes / 8>;

PackedWord pack(std::string_view word) {
  PackedWord packed{};
  if (!word.empty()) std::memcpy(packed.data(), word.data(), word.size());
  return packed;
}

}  // namespace

// Mapped, so that the slots start as zeros (which is what free slots are) and only those that are
// used take memory.
WordCache::WordCache() {
  void* memory = ::mmap(
      nullptr, kSlots * sizeof(Slot), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  slots_ = static_cast<Slot*>(memory);
}

WordCache::~WordCache() {
  ::munmap(slots_, kSlots * sizeof(Slot));
}

bool WordCache::find(std::string_view word, uint64_t hash, std::vector<TokenId>& ids) const {
  const Slot& slot = slots_[hash >> 48];
  uint32_t version = slot.version.load(std::memory_order_acquire);
  uint32_t sizes = slot.sizes.load(std::memory_order_acquire);
  if ((version & 1) || (sizes & 0xff) != word.size()) return false;
  PackedWord packed = pack(word);
  for (size_t i = 0; i * 8 < word.size(); ++i) {
    if (slot.word[i].load(std::memory_order_acquire) != packed[i]) return false;
  }
  size_t count = sizes >> 8;
  std::array<uint64_t, kMaxIds / 2> pairs;
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = slot.ids[i].load(std::memory_order_acquire);
  if (slot.version.load(std::memory_order_relaxed) != version) return false;
  for (size_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<TokenId>(pairs[i / 2] >> (i % 2 * 32)));
  }
  return true;
}

void WordCache::store(std::string_view word, uint64_t hash, const TokenId* ids, size_t count) {
  if (word.empty() || word.size() > kMaxWordBytes || count > kMaxIds) return;
  Slot& slot = slots_[hash >> 48];
  uint32_t version = slot.version.load(std::memory_order_relaxed);
  if (version & 1) return;
  if (!slot.version.compare_exchange_strong(version, version + 1, std::memory_order_acquire))
    return;
  PackedWord packed = pack(word);
  for (size_t i = 0; i < packed.size(); ++i) {
    slot.word[i].store(packed[i], std::memory_order_release);
  }
  for (size_t i = 0; i < kMaxIds / 2; ++i) {
    uint64_t low = i * 2 < count ? static_cast<uint32_t>(ids[i * 2]) : 0;
    uint64_t high = i * 2 + 1 < count ? static_cast<uint32_t>(ids[i * 2 + 1]) : 0;
    slot.ids[i].store(high << 32 | low, std::memory_order_release);
  }
  slot.sizes.store(static_cast<uint32_t>(word.size() | count << 8), std::memory_order_release);
  slot.version.store(version + 2, std::memory_order_release);
}

}  // namespace tokamak::text
