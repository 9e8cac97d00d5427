// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/pipeline.h"

#include <algorithm>
#include <chrono>

#include "tokamak/passes/passes.h"

namespace tokamak::compiler {
namespace {

// Order matters where two passes want the same op: biases are folded before projections are merged
// (a merged product has one bias), slices exist before the fusions that look for them, and
// fuse_residual goes before fuse_add_norm (see there).
constexpr Pass kPasses[] = {
    {"fold_transpose", passes::fold_transpose},
    {"fold_bias_activation", passes::fold_bias_activation},
    {"merge_projections", passes::merge_projections},
    {"fuse_rope_append", passes::fuse_rope_append},
    {"fuse_gated_mlp", passes::fuse_gated_mlp},
    {"fuse_residual", passes::fuse_residual},
    {"fuse_add_norm", passes::fuse_add_norm},
    {"fuse_rope_attend", passes::fuse_rope_attend, Target::kCuda},
    {"fuse_norm_matmul", passes::fuse_norm_matmul, Target::kCuda},
    {"eliminate_dead_code", passes::eliminate_dead_code},
};

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Result<void> check_names(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::string known;
    bool found = false;
    for (const Pass& pass : kPasses) {
      found = found || pass.name == name;
      known += (known.empty() ? "" : ", ") + std::string(pass.name);
    }
    if (!found)
      return base::invalid(fmt::format("'{}' is not a pass", name), "passes are " + known);
  }
  return {};
}

Error in_pass(std::string_view name, Error error) {
  error.message = fmt::format("pass {}: {}", name, error.message);
  return error;
}

Result<PassReport> run_pass(const Pass& pass, ir::Graph& graph) {
  PassReport report{.name = pass.name};
  auto begin = std::chrono::steady_clock::now();
  auto rewrites = pass.run(graph);
  report.elapsed_us = std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::steady_clock::now() - begin)
                          .count();
  if (!rewrites.ok()) return in_pass(pass.name, rewrites.error());
  report.rewrites = *rewrites;
  if (auto status = graph.verify(); !status.ok()) return in_pass(pass.name, status.error());
  return report;
}

}  // namespace

std::span<const Pass> pipeline_passes() {
  return kPasses;
}

const PassReport* PipelineReport::find(std::string_view name) const {
  for (const PassReport& pass : passes) {
    if (pass.name == name) return &pass;
  }
  return nullptr;
}

std::string PipelineReport::summary() const {
  std::string out;
  for (const PassReport& pass : passes) {
    if (pass.disabled)
      out += fmt::format("{:<22} disabled\n", pass.name);
    else if (pass.for_other)
      out += fmt::format("{:<22} for {} alone\n", pass.name, base::enum_name(*pass.for_other));
    else
      out += fmt::format(
          "{:<22} {:>5} rewrites {:>8} us\n", pass.name, pass.rewrites, pass.elapsed_us);
  }
  return out;
}

Result<PipelineReport> run_pipeline(ir::Graph& graph, const PipelineOptions& options) {
  TKM_RETURN_IF_ERROR(check_names(options.disabled));
  TKM_RETURN_IF_ERROR(check_names(options.record));
  TKM_RETURN_IF_ERROR(graph.verify());
  PipelineReport report;
  for (const Pass& pass : kPasses) {
    PassReport of_pass{.name = pass.name, .disabled = contains(options.disabled, pass.name)};
    if (pass.target != options.target) of_pass.for_other = pass.target;
    const bool runs = !of_pass.disabled && !of_pass.for_other;
    if (runs) {
      TKM_ASSIGN(of_pass, run_pass(pass, graph));
    }
    if (contains(options.record, pass.name)) of_pass.text = graph.text();
    if (runs && options.after) options.after(of_pass, graph);
    report.passes.push_back(std::move(of_pass));
  }
  return report;
}

}  // namespace tokamak::compiler
