// SPDX-License-Identifier: Apache-2.0
// From a checkpoint to an engine: read config -> graph -> passes -> tactics and plan -> files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tokamak/base/progress.h"
#include "tokamak/compiler/pipeline.h"
#include "tokamak/device/device.h"
#include "tokamak/engine/engine.h"

namespace tokamak::api {

struct BuildOptions {
  Target target = Target::kCpu;
  std::string dtype =
      "auto";           ///< "auto": as stored (float16 becomes bfloat16); or float32, bfloat16.
  int num_threads = 0;  ///< 0: all processors.
  bool dummy_weights = false;  ///< Random weights: config.json alone is needed.
  bool tune = true;            ///< Time tactics on the device; else take each tactic's first guess.
  bool machine_code = true;    ///< The engine carries that of its kernels; else loading compiles.
  std::vector<std::string> disabled_passes;
  std::vector<std::string> record_passes;  ///< Keep the graph's text after these in the report.
  base::Progress progress;
};

struct BuildReport {
  std::string spec;   ///< The family and its sizes, one `name = value` a line.
  std::string graph;  ///< Before the passes.
  compiler::PipelineReport passes;
  int64_t tactics_timed = 0, tactics_from_cache = 0;  ///< Alone, and pairs within a layer.
  int64_t tactics_unsteady = 0;  ///< Of those timed: the next build times them again.
  std::string unused_tensors;    ///< How many and which, in a line; empty: all are used.
  double seconds = 0;
};

/// Where engines and tactic timings are kept: $TOKAMAK_CACHE_DIR, else $XDG_CACHE_HOME/tokamak,
/// else ~/.cache/tokamak.
std::filesystem::path cache_folder();

/// Builds in memory; the engine refers to `checkpoint` for its weights. Every tensor that the plan
/// needs is looked up, so that a truncated or inconsistent checkpoint fails here, naming tensor and
/// file.
Result<engine::Engine> build_engine(const std::filesystem::path& checkpoint,
                                    device::Device& device,
                                    const BuildOptions& options,
                                    BuildReport* report = nullptr);

/// Writes an engine folder: plan, manifest, tokenizer and template files; with `bundle` the weights
/// too, so that the folder can move. With `hash_weights` the weights are read once and their
/// hashes kept, which loading compares. An engine that was in the folder is replaced. Errors:
/// invalid (the folder holds something else), io, those of reading the checkpoint; what is left
/// then does not open.
Result<void> save_engine(engine::Engine& engine,
                         const std::filesystem::path& output,
                         bool bundle,
                         const base::Progress& progress = {},
                         bool hash_weights = true);

/// The target for `model` where the user named none: an engine's own, for a checkpoint
/// device::choose_target(). Errors: those of find_model() and of reading the engine.
Result<device::TargetChoice> choose_target(const std::filesystem::path& model);

/// An engine for `model`, as find_model() finds it: an engine folder is read; a checkpoint folder
/// is built, or taken from the cache if it was built before with the same options on the same
/// device, from the same text files and weights that nobody has written since.
Result<engine::Engine> open_engine(const std::filesystem::path& model,
                                   device::Device& device,
                                   const BuildOptions& options,
                                   BuildReport* report = nullptr);

/// The folder that holds the tokenizer files of an engine.
std::filesystem::path tokenizer_folder(const engine::Engine& engine);

}  // namespace tokamak::api
