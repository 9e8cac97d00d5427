// SPDX-License-Identifier: Apache-2.0
// Times that may be believed. On a busy machine a kernel of 7 us can take 900, in every one of some
// runs that follow each other; but then they differ among themselves. What differs is timed again,
// later. Pure: who measures is a parameter.
#pragma once

#include <functional>
#include <limits>
#include <vector>

#include "tokamak/base/result.h"

namespace tokamak::compiler {

/// Half of the samples of a steady time are within this share of the fastest, or within what
/// threads and clocks differ by themselves.
inline constexpr double kMaxSpread = 0.2, kMaxSpreadUs = 1;
/// So often is something timed that is not steady, all in all.
inline constexpr int kMaxRounds = 3;

/// What some samples say.
struct SampledTime {
  double us = std::numeric_limits<double>::infinity();         ///< The fastest.
  double median_us = std::numeric_limits<double>::infinity();  ///< Of the steadiest round.
  /// Nothing that could be measured is steady too: it will not get better.
  bool steady() const { return !(median_us > us * (1 + kMaxSpread) + kMaxSpreadUs); }
};
SampledTime sampled(std::vector<double> samples_us);
/// Of the same thing at two times.
SampledTime merged(const SampledTime& a, const SampledTime& b);

/// Measures each of `count` things, and again those that are not steady, behind all others: what
/// disturbed one may be over then. Errors: those of `measure`.
Result<std::vector<SampledTime>> time_steadily(
    size_t count, const std::function<Result<SampledTime>(size_t)>& measure);

}  // namespace tokamak::compiler
