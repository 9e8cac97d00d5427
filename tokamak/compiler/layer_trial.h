// SPDX-License-Identifier: Apache-2.0
// A layer that runs on a device while the tuner times it: its steps in order, each by one of its
// finalists, reading what the steps before them wrote; weights and caches take turns as those of a
// model's layers do.
#pragma once

#include <map>

#include "tokamak/compiler/layer.h"
#include "tokamak/compiler/layer_round.h"
#include "tokamak/compiler/trial.h"

namespace tokamak::compiler {

class LayerTrial {
 public:
  /// `finalists[p]`: of the layer's problem p, at least one, which all read their weight in the
  /// same layout. Errors: those of making the kernels and of allocating.
  static Result<LayerTrial> make(device::Device& device,
                                 const Layer& layer,
                                 const std::vector<std::vector<kernels::Candidate>>& finalists,
                                 int64_t tokens);

  /// Runs the layer once, as the `turn`-th of a model.
  void play(const Assignment& assignment, size_t turn);
  /// Microseconds of one layer among several that follow each other in one graph, where the device
  /// captures: the fastest of some replays, which take turns; of more where they differ. Errors:
  /// those of the device.
  Result<LayerTimes> compare(const Assignment& incumbent, const Assignment& challenger);
  /// What step `step` of the layer runs on in this turn; valid until the next call.
  kernels::Launch launch(size_t step, size_t turn) { return trials_[step].launch(turn); }

 private:
  explicit LayerTrial(device::Device& device) : device_(&device) {}
  Result<void> add_kernels(const Layer& layer,
                           const std::vector<std::vector<kernels::Candidate>>& finalists);
  Result<void> add_trials(const Layer& layer,
                          const std::vector<std::vector<kernels::Candidate>>& finalists,
                          int64_t tokens);
  /// Plays several layers; captured where the device does.
  Result<std::function<void()>> ready(const Assignment& assignment);

  device::Device* device_;
  std::vector<size_t> problems_;                                        ///< Of each step.
  std::vector<std::vector<std::unique_ptr<kernels::Kernel>>> kernels_;  ///< By problem, finalist.
  std::vector<std::unique_ptr<TrialBatch>> batches_;
  std::vector<Trial> trials_;  ///< Of each step.
  size_t turns_ = 0;           ///< Layers in a graph; found by the first run.
  std::map<Assignment, std::unique_ptr<device::Graph>> graphs_;
};

}  // namespace tokamak::compiler
