// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/descriptors.h"

#include <algorithm>
#include <limits>

#include <sys/resource.h>

namespace tokamak::server {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kForFiles = 128;  // At most; half of what there is, if that is less.

}  // namespace

int64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMost;
  const rlimit wanted{limit.rlim_max, limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) limit = wanted;
  return limit.rlim_cur >= static_cast<rlim_t>(kMost) ? kMost
                                                      : static_cast<int64_t>(limit.rlim_cur);
}

int64_t connections_within(int64_t wanted, int64_t descriptors) {
  return std::clamp<int64_t>(descriptors - std::min(kForFiles, descriptors / 2), 1, wanted);
}

}  // namespace tokamak::server
