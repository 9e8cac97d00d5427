// SPDX-License-Identifier: Apache-2.0
// How long work reports how far it is. Libraries call it; only the command line draws it.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace tokamak::base {

/// Called with the name of the work, how much is done and how much there is (same unit). May be
/// empty.
using Progress = std::function<void(std::string_view stage, int64_t done, int64_t total)>;

inline void report(const Progress& progress, std::string_view stage, int64_t done, int64_t total) {
  if (progress) progress(stage, done, total);
}

}  // namespace tokamak::base
