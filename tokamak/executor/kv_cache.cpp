// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/kv_cache.h"

namespace tokamak::executor {

KvCache::KvCache(int64_t num_pages) : references_(num_pages, 0) {
  free_.reserve(num_pages);
  for (int64_t page = num_pages - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
}

bool KvCache::grow(PageTable& table, int64_t num_tokens) {
  const int64_t missing = pages_for(num_tokens) - static_cast<int64_t>(table.size());
  if (missing > free_pages()) return false;
  for (int64_t i = 0; i < missing; ++i) {
    const int32_t page = free_.back();
    free_.pop_back();
    TKM_CHECK(
        references_[page] == 0, "page {} is free with {} references", page, references_[page]);
    references_[page] = 1;
    table.push_back(page);
  }
  return true;
}

void KvCache::share(PageTable& table, std::span<const int32_t> pages) {
  for (int32_t page : pages) {
    TKM_CHECK(references_[page] > 0, "page {} is shared but free", page);
    ++references_[page];
    table.push_back(page);
  }
}

void KvCache::release(PageTable& table) {
  // From the back, so that the next sequence gets the pages in the same order.
  while (!table.empty()) {
    const int32_t page = table.back();
    table.pop_back();
    TKM_CHECK(references_[page] > 0, "page {} is released but free", page);
    if (--references_[page] == 0) free_.push_back(page);
  }
}

}  // namespace tokamak::executor
