// SPDX-License-Identifier: Apache-2.0
// The candidates of one problem with their times, and how one becomes the plan's choice.
#pragma once

#include <string_view>

#include "tokamak/compiler/tuner.h"
#include "tokamak/engine/plan.h"

namespace tokamak::compiler {

/// For steps of up to `tokens` rows.
struct TimedBucket {
  int64_t tokens = 0;
  std::vector<kernels::Candidate> candidates;
  Timings us;
  double floor_us = 0;
};
using TimedProblem = std::vector<TimedBucket>;

std::string_view layout_name(const kernels::Tactic& tactic);

/// Indices of the candidates that read `layout` (any layout if empty), fastest alone first.
std::vector<size_t> ranked(const TimedBucket& bucket, std::string_view layout);

/// The first of ranked() that a layer decides between: those whose times alone are close. At least
/// one, if any candidate reads the layout.
std::vector<kernels::Candidate> finalists(const TimedBucket& bucket, std::string_view layout);

/// The verdict's winner and its rival among finalists(); where no layer was asked, the fastest
/// alone and the one behind it. Without a tactic if no candidate reads `layout`.
engine::PlanChoice choose(const TimedBucket& bucket,
                          std::string_view layout,
                          const Verdict& verdict = {});

}  // namespace tokamak::compiler
