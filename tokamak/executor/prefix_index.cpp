// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/prefix_index.h"

#include <algorithm>
#include <array>
#include <random>

#include "tokamak/base/check.h"

namespace tokamak::executor {
namespace {

uint64_t random_word(std::random_device& device) {
  return uint64_t{device()} << 32 | device();
}

std::span<const int32_t> page_of(size_t n, std::span<const int32_t> tokens) {
  return tokens.subspan(n * op::kPageTokens, op::kPageTokens);
}

}  // namespace

PrefixIndex::PrefixIndex(int64_t num_pages, const PrefixOptions& options)
    : options_(options), nodes_(num_pages), tokens_(num_pages * op::kPageTokens) {
  std::random_device device;
  for (uint64_t& word : hash_.key) word = random_word(device);
}

const base::Hash128& PrefixIndex::key_of(size_t n,
                                         PrefixKeys& keys,
                                         std::span<const int32_t> tokens) const {
  while (keys.pages.size() <= n) {
    const size_t page = keys.pages.size();
    // The key of a page covers that of the page before it, or the salt and the length.
    Hash128 before = page > 0 ? keys.pages.back() : hash_(std::as_bytes(std::span(keys.salt)));
    if (page == 0 && keys.is_long) before.low = ~before.low;
    std::array<std::byte, sizeof(Hash128) + op::kPageTokens * sizeof(int32_t)> bytes;
    std::memcpy(bytes.data(), &before, sizeof(before));
    const auto own = std::as_bytes(page_of(page, tokens));
    std::copy(own.begin(), own.end(), bytes.begin() + sizeof(before));
    Hash128 key = hash_(bytes);
    if (options_.hash_bits < 64) {
      key.high = 0;
      key.low &= (uint64_t{1} << options_.hash_bits) - 1;
    }
    keys.pages.push_back(key);
  }
  return keys.pages[n];
}

bool PrefixIndex::orphaned(int32_t page) const {
  const Node& node = nodes_[page];
  return node.parent >= 0 && node.parent_serial != nodes_[node.parent].serial;
}

bool PrefixIndex::holds(int32_t page,
                        size_t n,
                        int32_t parent,
                        const PrefixKeys& keys,
                        std::span<const int32_t> tokens) const {
  const Node& node = nodes_[page];
  if (node.parent != parent || orphaned(page)) return false;
  if (parent < 0 && (node.salt != keys.salt || node.is_long != keys.is_long)) return false;
  const auto own = page_of(page, tokens_), wanted = page_of(n, tokens);
  return std::equal(own.begin(), own.end(), wanted.begin());
}

std::optional<int32_t> PrefixIndex::find(size_t n,
                                         int32_t parent,
                                         PrefixKeys& keys,
                                         std::span<const int32_t> tokens) const {
  if (!options_.enabled) return {};
  const auto found = pages_.find(key_of(n, keys, tokens));
  if (found == pages_.end() || !holds(found->second, n, parent, keys, tokens)) return {};
  return found->second;
}

bool PrefixIndex::insert(
    int32_t page, size_t n, int32_t parent, PrefixKeys& keys, std::span<const int32_t> tokens) {
  if (!options_.enabled) return false;
  TKM_CHECK(!contains(page), "page {} is in the index already", page);
  TKM_CHECK(parent < 0 || contains(parent), "page {} is not in the index", parent);
  const Hash128& key = key_of(n, keys, tokens);
  const auto [place, is_new] = pages_.emplace(key, page);
  if (!is_new && !orphaned(place->second)) return false;
  place->second = page;
  Node& node = nodes_[page];
  node.serial = next_serial_++;
  node.parent = parent;
  node.parent_serial = parent < 0 ? 0 : nodes_[parent].serial;
  node.key = key;
  if (parent < 0) {
    node.salt = keys.salt;
    node.is_long = keys.is_long;
  }
  const auto own = page_of(n, tokens);
  std::copy(own.begin(), own.end(), tokens_.begin() + page * op::kPageTokens);
  return true;
}

void PrefixIndex::erase(int32_t page) {
  Node& node = nodes_[page];
  TKM_CHECK(node.serial != 0, "page {} is not in the index", page);
  const auto place = pages_.find(node.key);
  if (place != pages_.end() && place->second == page) pages_.erase(place);
  node = {};
}

}  // namespace tokamak::executor
