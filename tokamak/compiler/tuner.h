// SPDX-License-Identifier: Apache-2.0
// Chooses tactics by timing them on the device they will run on: random data, weights rotated past
// the cache; first each alone, then on a GPU those that came close within a captured layer. What
// was timed once is kept in a file by (op, problem, device, tactic version), so that the next build
// of a like model times nothing; but for times that are not steady (steady_time.h).
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tokamak/compiler/layer.h"
#include "tokamak/compiler/layer_round.h"
#include "tokamak/compiler/steady_time.h"
#include "tokamak/compiler/trial.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::compiler {

/// Times in microseconds of the candidates of one problem, in their order; infinite for one that
/// could not be made.
using Timings = std::vector<double>;

/// What time() is asked.
struct TunerQuestion {
  const kernels::KernelDesc* desc;
  int64_t tokens;
  const std::vector<kernels::Candidate>* candidates;
};

class Tuner {
 public:
  /// Without `measure`, or on a device that only compiles, each problem's first candidate counts as
  /// best and nothing is timed.
  /// `cache_file`: read now, written by save(); empty: nothing is kept. A cache that cannot be read
  /// is ignored with a warning.
  Tuner(device::Device& device, std::filesystem::path cache_file, bool measure = true);

  /// Timings of `candidates` for steps of `tokens` rows (ops that attend: on a TrialBatch). Other
  /// ops with state, and those without float inputs, are not timed: their first candidate is taken
  /// as best.
  Result<Timings> time(const kernels::KernelDesc& desc,
                       int64_t tokens,
                       const std::vector<kernels::Candidate>& candidates);
  /// Makes the kernels that time() will need for these questions, all side by side: making them may
  /// compile. They are kept as long as the tuner. What cannot be made, time() finds so.
  void prepare(std::span<const TunerQuestion> questions);
  /// Whether there is a second round: by default on a GPU, as kernels of a host do not overlap.
  bool asks_layers() const { return asks_layers_; }
  void ask_layers(bool ask) { asks_layers_ = ask && measure_; }
  /// The second round, in steps of `tokens` rows. `finalists[p]`: of the layer's problem p, fastest
  /// alone first, all with the same layout of the weight. Verdicts without times where no layers
  /// are asked, and with a warning where the layer cannot run. Errors: device, where it is lost.
  Result<std::vector<Verdict>> decide_in_layer(
      const Layer& layer,
      const std::vector<std::vector<kernels::Candidate>>& finalists,
      int64_t tokens);
  /// Whole or not at all; errors: io.
  Result<void> save() const;

  /// Candidates alone, and pairs of layers.
  int64_t num_timed() const { return num_timed_; }
  int64_t num_from_cache() const { return num_from_cache_; }
  /// Of those timed: their times differed too much to be kept for the next build.
  int64_t num_unsteady() const { return num_unsteady_; }

 private:
  bool times(const TunerQuestion& question) const;
  std::string time_key(const TunerQuestion& question, const kernels::Candidate& candidate) const;
  /// An infinite time for what cannot be made or launched. Errors: device, where it is lost.
  Result<SampledTime> time_alone(const TunerQuestion& question,
                                 const kernels::Candidate& candidate,
                                 TrialBatch& batch);
  /// Of both layers from the cache, else by `measure`.
  Result<LayerTimes> layer_times(const std::string& key,
                                 const std::function<Result<LayerTimes>()>& measure);

  device::Device& device_;
  std::filesystem::path cache_file_;
  bool measure_, asks_layers_;
  std::map<std::string, double> cache_;
  std::map<std::string, kernels::MadeKernel> made_;  ///< By desc and candidate.
  int64_t num_timed_ = 0, num_from_cache_ = 0, num_unsteady_ = 0;
};

/// A key of the problem: op and attributes without the layer's number, types, and rows.
std::string problem_key(const kernels::KernelDesc& desc, int64_t tokens);

}  // namespace tokamak::compiler
