// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/layer_trial.h"

#include <algorithm>
#include <cmath>

#include "tokamak/compiler/steady_time.h"
#include "tokamak/op/attention.h"

namespace tokamak::compiler {
namespace {

// A graph is long enough that its start does not count, and not longer: there are many to time.
constexpr double kGraphUs = 1500;
constexpr size_t kMinTurns = 2, kMaxTurns = 16;
constexpr int kReplays = 5;

}  // namespace

Result<LayerTrial> LayerTrial::make(device::Device& device,
                                    const Layer& layer,
                                    const std::vector<std::vector<kernels::Candidate>>& finalists,
                                    int64_t tokens) {
  TKM_CHECK(finalists.size() == layer.num_problems,
            "finalists of {} problems, the layer has {}",
            finalists.size(),
            layer.num_problems);
  LayerTrial out(device);
  TKM_RETURN_IF_ERROR(out.add_kernels(layer, finalists));
  TKM_RETURN_IF_ERROR(out.add_trials(layer, finalists, tokens));
  return out;
}

Result<void> LayerTrial::add_kernels(
    const Layer& layer, const std::vector<std::vector<kernels::Candidate>>& finalists) {
  std::vector<const kernels::KernelDesc*> descs(layer.num_problems);
  for (const LayerStep& step : layer.steps) {
    problems_.push_back(step.problem);
    descs[step.problem] = &step.desc;
  }
  std::vector<std::pair<size_t, const kernels::Candidate*>> wanted;
  for (size_t p = 0; p < finalists.size(); ++p) {
    TKM_CHECK(!finalists[p].empty(), "no finalist of {}", descs[p]->op.name());
    for (const kernels::Candidate& candidate : finalists[p]) wanted.emplace_back(p, &candidate);
  }
  auto made = kernels::make_kernels(*device_, std::ssize(wanted), [&](int64_t n) {
    auto [p, candidate] = wanted[static_cast<size_t>(n)];
    return candidate->tactic->make(*descs[p], candidate->config, *device_);
  });
  kernels_.resize(layer.num_problems);
  for (size_t n = 0; n < wanted.size(); ++n) {
    TKM_ASSIGN(auto kernel, std::move(*made[n]));
    kernels_[wanted[n].first].push_back(std::move(kernel));
  }
  return {};
}

Result<void> LayerTrial::add_trials(const Layer& layer,
                                    const std::vector<std::vector<kernels::Candidate>>& finalists,
                                    int64_t tokens) {
  for (const LayerStep& step : layer.steps) {
    TKM_ASSIGN(TrialBatch batch, TrialBatch::make(*device_, step.desc, tokens));
    batches_.push_back(std::make_unique<TrialBatch>(std::move(batch)));
    const auto& kernels = kernels_[step.problem];
    TKM_ASSIGN(Trial trial,
               Trial::make(*device_,
                           step.desc,
                           finalists[step.problem][0],
                           *kernels[0],
                           tokens,
                           *batches_.back()));
    for (const auto& kernel : kernels) TKM_RETURN_IF_ERROR(trial.make_room(*device_, *kernel));
    trials_.push_back(std::move(trial));
  }
  for (size_t s = 0; s < layer.steps.size(); ++s) {
    for (const LayerStep::Read& read : layer.steps[s].reads)
      trials_[s].read(read.input, trials_[read.from], read.output);
  }
  return {};
}

void LayerTrial::play(const Assignment& assignment, size_t turn) {
  for (size_t s = 0; s < trials_.size(); ++s) {
    size_t p = problems_[s];
    kernels_[p][assignment[p]]->run(trials_[s].launch(turn));
  }
}

Result<std::function<void()>> LayerTrial::ready(const Assignment& assignment) {
  if (!turns_) {
    play(assignment, 0);  // Warms up.
    TKM_ASSIGN(double us, device_->time_us([&] { play(assignment, 1); }));
    auto turns = static_cast<size_t>(std::ceil(kGraphUs / std::max(us, 1.0)));
    turns_ = std::clamp(turns, kMinTurns, kMaxTurns);
  }
  std::function<void()> all = [this, assignment] {
    for (size_t turn = 0; turn < turns_; ++turn) play(assignment, turn);
  };
  auto [it, is_new] = graphs_.try_emplace(assignment);
  if (is_new) {
    play(assignment, 0);  // What is captured has run before.
    TKM_RETURN_IF_ERROR(device_->synchronize());
    TKM_ASSIGN(it->second, device_->capture(all));
  }
  if (device::Graph* graph = it->second.get())
    return std::function<void()>([=] { graph->launch(); });
  return all;
}

Result<LayerTimes> LayerTrial::compare(const Assignment& incumbent, const Assignment& challenger) {
  TKM_ASSIGN(std::function<void()> first, ready(incumbent));
  TKM_ASSIGN(std::function<void()> second, ready(challenger));
  SampledTime first_time, second_time;
  bool steady = false;
  for (int round = 0; round < kMaxRounds && !steady; ++round) {
    std::vector<double> first_samples, second_samples;
    for (int replay = -1; replay < kReplays; ++replay) {  // Replay -1 warms up.
      TKM_ASSIGN(double first_us, device_->time_us(first));
      TKM_ASSIGN(double second_us, device_->time_us(second));
      if (replay < 0) continue;
      first_samples.push_back(first_us);
      second_samples.push_back(second_us);
    }
    first_time = merged(first_time, sampled(std::move(first_samples)));
    second_time = merged(second_time, sampled(std::move(second_samples)));
    steady = first_time.steady() && second_time.steady();
  }
  auto turns = static_cast<double>(turns_);
  return LayerTimes{first_time.us / turns, second_time.us / turns, steady};
}

}  // namespace tokamak::compiler
