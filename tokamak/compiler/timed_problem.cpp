// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/timed_problem.h"

#include <algorithm>
#include <cmath>

namespace tokamak::compiler {
namespace {

constexpr size_t kMaxFinalists = 3;
constexpr double kFinalistShare = 1.15;  // Of the fastest's time.

}  // namespace

std::string_view layout_name(const kernels::Tactic& tactic) {
  return tactic.layout ? tactic.layout->name : kernels::row_major_layout().name;
}

std::vector<size_t> ranked(const TimedBucket& bucket, std::string_view layout) {
  std::vector<size_t> out;
  for (size_t i = 0; i < bucket.candidates.size(); ++i) {
    if (layout.empty() || layout_name(*bucket.candidates[i].tactic) == layout) out.push_back(i);
  }
  std::stable_sort(
      out.begin(), out.end(), [&](size_t a, size_t b) { return bucket.us[a] < bucket.us[b]; });
  return out;
}

std::vector<kernels::Candidate> finalists(const TimedBucket& bucket, std::string_view layout) {
  std::vector<kernels::Candidate> out;
  std::vector<size_t> order = ranked(bucket, layout);
  for (size_t i : order) {
    double limit = kFinalistShare * bucket.us[order[0]];
    bool close = bucket.us[i] <= limit && limit > 0 && std::isfinite(limit);
    if (!out.empty() && (!close || out.size() == kMaxFinalists)) break;
    out.push_back(bucket.candidates[i]);
  }
  return out;
}

engine::PlanChoice choose(const TimedBucket& bucket,
                          std::string_view layout,
                          const Verdict& verdict) {
  engine::PlanChoice choice{.max_tokens = bucket.tokens};
  std::vector<size_t> order = ranked(bucket, layout);
  if (order.empty()) return choice;
  const bool asked = verdict.layer_us > 0;
  const kernels::Candidate& winner = bucket.candidates[order[verdict.winner]];
  const double us = bucket.us[order[verdict.winner]];
  choice.tactic = winner.tactic->name;
  choice.version = winner.tactic->version;
  choice.config = winner.config;
  choice.us = std::isfinite(us) ? us : 0;
  choice.floor_us = bucket.floor_us;
  choice.layer_us = verdict.layer_us;
  choice.runner_up_layer_us = verdict.rival_layer_us;
  size_t second = asked ? verdict.rival : 1;
  if (second < order.size() && std::isfinite(bucket.us[order[second]])) {
    const kernels::Candidate& runner_up = bucket.candidates[order[second]];
    choice.runner_up = fmt::format("{} {}", runner_up.tactic->name, runner_up.config.dump());
    choice.runner_up_us = bucket.us[order[second]];
  }
  return choice;
}

}  // namespace tokamak::compiler
