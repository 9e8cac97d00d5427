// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/kv_cache.h"

namespace tokamak::executor {

KvCache::KvCache(int64_t num_pages, const PrefixOptions& prefix)
    : references_(num_pages, 0), index_(num_pages, prefix), cached_(num_pages) {
  free_.reserve(num_pages);
  for (int64_t page = num_pages - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
}

bool KvCache::grow(PageTable& table, int64_t num_tokens) {
  const int64_t missing = pages_for(num_tokens) - static_cast<int64_t>(table.size());
  if (missing > available_pages()) return false;
  for (int64_t i = 0; i < missing; ++i) {
    const int32_t page = take();
    TKM_CHECK(references_[page] == 0 && !published(page),
              "page {} is free with {} references",
              page,
              references_[page]);
    references_[page] = 1;
    table.push_back(page);
  }
  return true;
}

void KvCache::shrink(PageTable& table, int64_t num_tokens) {
  while (static_cast<int64_t>(table.size()) > pages_for(num_tokens)) {
    TKM_CHECK(writable(table.back()), "page {} is given up though others use it", table.back());
    release(table.back(), false);
    table.pop_back();
  }
}

int32_t KvCache::take() {
  if (!free_.empty()) {
    const int32_t page = free_.back();
    free_.pop_back();
    return page;
  }
  const int32_t page = first_cached_;
  remove_cached(page);
  index_.erase(page);
  ++evictions_;
  return page;
}

void KvCache::find(const PageTable& table,
                   int64_t most,
                   PrefixKeys& keys,
                   std::span<const int32_t> tokens,
                   PageTable& found) const {
  found.clear();
  int32_t parent = table.empty() ? -1 : table.back();
  if (parent >= 0 && !published(parent)) return;
  for (size_t n = table.size(); static_cast<int64_t>(n) < most; ++n) {
    const auto page = index_.find(n, parent, keys, tokens);
    if (!page) return;
    found.push_back(*page);
    parent = *page;
  }
}

void KvCache::share(PageTable& table, std::span<const int32_t> pages) {
  for (int32_t page : pages) {
    reference(page);
    table.push_back(page);
  }
}

bool KvCache::publish(PageTable& table,
                      size_t n,
                      PrefixKeys& keys,
                      std::span<const int32_t> tokens) {
  const int32_t parent = n > 0 ? table[n - 1] : -1;
  if (parent >= 0 && !published(parent)) return false;
  TKM_CHECK(writable(table[n]), "page {} is published by one who may not write it", table[n]);
  const auto known = index_.find(n, parent, keys, tokens);
  if (!known) return index_.insert(table[n], n, parent, keys, tokens);
  reference(*known);
  release(table[n], true);
  table[n] = *known;
  return true;
}

void KvCache::release(PageTable& table, bool forget) {
  // From the back, so that the next sequence gets the pages in the same order, and cached pages
  // come before those that they continue.
  while (!table.empty()) {
    release(table.back(), forget);
    table.pop_back();
  }
}

void KvCache::reference(int32_t page) {
  TKM_CHECK(references_[page] > 0 || published(page), "page {} is shared but free", page);
  if (references_[page]++ == 0) remove_cached(page);
}

void KvCache::release(int32_t page, bool forget) {
  TKM_CHECK(references_[page] > 0, "page {} is released but free", page);
  if (--references_[page] > 0) return;
  if (published(page) && !forget) {
    append_cached(page);
    return;
  }
  if (published(page)) index_.erase(page);
  free_.push_back(page);
}

void KvCache::append_cached(int32_t page) {
  cached_[page] = {last_cached_, -1};
  (last_cached_ >= 0 ? cached_[last_cached_].after : first_cached_) = page;
  last_cached_ = page;
  ++num_cached_;
}

void KvCache::remove_cached(int32_t page) {
  const Links links = std::exchange(cached_[page], {});
  (links.before >= 0 ? cached_[links.before].after : first_cached_) = links.after;
  (links.after >= 0 ? cached_[links.after].before : last_cached_) = links.before;
  --num_cached_;
}

void KvCache::check_invariants() const {
  int64_t used = 0, cached = 0;
  for (int32_t page = 0; page < num_pages(); ++page) used += references_[page] > 0;
  for (int32_t page = first_cached_; page >= 0; page = cached_[page].after) {
    TKM_CHECK(references_[page] == 0, "page {} is cached with references", page);
    TKM_CHECK(published(page), "page {} is cached and nobody can find it", page);
    ++cached;
  }
  for (int32_t page : free_) {
    TKM_CHECK(references_[page] == 0 && !published(page), "page {} is not free", page);
  }
  TKM_CHECK(cached == cached_pages(), "{} pages are cached, not {}", cached, cached_pages());
  TKM_CHECK(used == used_pages(), "{} pages are used, not {}", used, used_pages());
}

}  // namespace tokamak::executor
