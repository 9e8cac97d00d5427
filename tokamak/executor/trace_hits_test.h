// SPDX-License-Identifier: Apache-2.0
// For tests: what a cache of prefixes has for the requests of a trace, computed from the trace.
#pragma once

#include <algorithm>
#include <list>
#include <span>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tokamak/executor/trace_test.h"

namespace tokamak::executor {

/// When a request held pages, in seconds.
struct Stay {
  double admission = 0, end = 0;
};

/// Tokens of prompts that a cache that forgets nothing would have.
inline int64_t possible_hits(const std::vector<TraceRequest>& trace) {
  std::unordered_set<int64_t> known;
  int64_t pages = 0;
  for (const TraceRequest& request : trace) {
    int64_t shared = 0;
    const int64_t most = most_shared_pages(request);
    while (shared < most && known.contains(content_of(request, shared))) ++shared;
    pages += shared;
    for (int64_t n = 0; n < request.input / op::kPageTokens; ++n)
      known.insert(content_of(request, n));
  }
  return pages * op::kPageTokens;
}

/// Tokens of prompts that cannot have been lost before they were asked for again: a page is given
/// away only if all others are used, or were used after it; so not while all requests that were
/// there since its last use need no more pages than there are. From when each request was there.
inline int64_t certain_hits(const std::vector<TraceRequest>& trace,
                            std::span<const Stay> stays,
                            int64_t num_pages,
                            bool preempted) {
  // In order of time; of ends and admissions at one time the ends last, which is on the safe side.
  std::vector<std::pair<double, int64_t>> events;  // An admission: the request; an end: ~request.
  for (size_t i = 0; i < stays.size(); ++i) {
    events.emplace_back(stays[i].admission, i);
    events.emplace_back(stays[i].end, ~static_cast<int64_t>(i));
  }
  std::sort(events.begin(), events.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.first, a.second < 0, a.second) <
           std::tuple(b.first, b.second < 0, b.second);
  });
  // Who was preempted may for a while hold pages again that are still cached.
  auto pages_of = [&](int64_t i) {
    return pages_for(trace[i].input + trace[i].output) * (preempted ? 2 : 1);
  };
  // By content: the pages of all that ended before the one that used it last.
  std::unordered_map<int64_t, int64_t> uses;
  int64_t admitted = 0, ended = 0, hits = 0;
  double ended_at = -1;
  int64_t ended_before = 0;  // Strictly before ended_at.
  for (const auto& [time, event] : events) {
    if (event < 0) {
      const int64_t i = ~event;
      if (time > ended_at) ended_at = time, ended_before = ended;
      ended += pages_of(i);
      for (int64_t n = 0; n < trace[i].input / op::kPageTokens; ++n)
        uses[content_of(trace[i], n)] = ended_before;
      continue;
    }
    // Pages are given away after all admissions of a turn, so later ones do not count.
    admitted += pages_of(event);
    for (int64_t n = 0; n < most_shared_pages(trace[event]); ++n, hits += op::kPageTokens) {
      const auto use = uses.find(content_of(trace[event], n));
      if (use == uses.end() || admitted - use->second > num_pages) break;
    }
  }
  return hits;
}

/// The least recently used pages of requests that come one after the other, written plainly.
class PlainCache {
 public:
  explicit PlainCache(int64_t num_pages) : free_(num_pages) {}

  /// Pages that `request` takes as they are.
  int64_t serve(const TraceRequest& request) {
    int64_t hits = 0;
    while (hits < most_shared_pages(request) && cached_.contains(content_of(request, hits))) ++hits;
    for (int64_t n = 0; n < hits; ++n) remove(content_of(request, n));
    for (int64_t n = hits; n < pages_for(request.input); ++n, --free_) {
      if (free_ == 0) remove(order_.front()), ++free_;
    }
    for (int64_t n = pages_for(request.input) - 1; n >= 0; --n) {
      if (n >= request.input / op::kPageTokens) {
        ++free_;
        continue;
      }
      // A last page that is full was computed again, though it may be here.
      const int64_t content = content_of(request, n);
      if (cached_.contains(content)) remove(content), ++free_;
      cached_[content] = order_.insert(order_.end(), content);
    }
    return hits;
  }

 private:
  void remove(int64_t content) {
    order_.erase(cached_.at(content));
    cached_.erase(content);
  }
  int64_t free_;
  std::list<int64_t> order_;  // Least recently used first.
  std::unordered_map<int64_t, std::list<int64_t>::iterator> cached_;
};

}  // namespace tokamak::executor
