// SPDX-License-Identifier: Apache-2.0
// Chooses tactics by timing them on the device they will run on: random data, weights rotated past
// the cache. What was timed once is kept in a file by (op, problem, device, tactic version), so
// that the next build of a like model times nothing.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tokamak/kernels/kernel.h"

namespace tokamak::compiler {

/// Times in microseconds of the candidates of one problem, in their order; infinite for one that
/// could not be made.
using Timings = std::vector<double>;

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
  /// Whole or not at all; errors: io.
  Result<void> save() const;

  int64_t num_timed() const { return num_timed_; }
  int64_t num_from_cache() const { return num_from_cache_; }

 private:
  using MadeKernel = std::optional<Result<std::unique_ptr<kernels::Kernel>>>;
  /// The candidates with the indices `which`, each made or failed.
  std::vector<MadeKernel> make_all(const kernels::KernelDesc& desc,
                                   const std::vector<kernels::Candidate>& candidates,
                                   const std::vector<size_t>& which);

  device::Device& device_;
  std::filesystem::path cache_file_;
  bool measure_;
  std::map<std::string, double> cache_;
  int64_t num_timed_ = 0, num_from_cache_ = 0;
};

/// A key of the problem: op and attributes without the layer's number, types, and rows.
std::string problem_key(const kernels::KernelDesc& desc, int64_t tokens);

}  // namespace tokamak::compiler
