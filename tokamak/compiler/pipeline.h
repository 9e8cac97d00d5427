// SPDX-License-Identifier: Apache-2.0
// The passes that every graph goes through: one flat list, each named, timed, switchable and
// verified.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/device/device.h"
#include "tokamak/ir/graph.h"

namespace tokamak::compiler {

struct Pass {
  std::string_view name;
  Result<int> (*run)(ir::Graph&);     ///< Returns the number of rewrites.
  std::optional<Target> target = {};  ///< Runs for this target alone; none: for all.
};

/// What one pass did.
struct PassReport {
  std::string_view name;
  bool disabled = false;                 ///< By name.
  std::optional<Target> for_other = {};  ///< It did not run: it is for this target.
  int rewrites = 0;
  int64_t elapsed_us = 0;  ///< Of the pass, without the verification after it.
  std::string text = {};   ///< The graph after it, if asked for; also where it did not run.
};

struct PipelineOptions {
  std::optional<Target> target = {};  ///< That the graph will run on; none: passes for all alone.
  std::vector<std::string> disabled;  ///< Names of passes to leave out.
  std::vector<std::string> record;    ///< Names of passes after which to keep the graph's text.
  /// Called after each pass that ran.
  std::function<void(const PassReport&, const ir::Graph&)> after;
};

struct PipelineReport {
  std::vector<PassReport> passes;  ///< All of them, in order.

  /// The report of a pass by name, or null.
  const PassReport* find(std::string_view name) const;
  /// One line a pass: name, rewrites, microseconds.
  std::string summary() const;
};

/// The list, in the order of running.
std::span<const Pass> pipeline_passes();

/// Runs the list over `graph`. Errors: invalid (a name in `options` that is no pass: the hint lists
/// them), what a pass reports, internal (a pass that left a graph that does not verify). Each names
/// the pass.
Result<PipelineReport> run_pipeline(ir::Graph& graph, const PipelineOptions& options = {});

}  // namespace tokamak::compiler
