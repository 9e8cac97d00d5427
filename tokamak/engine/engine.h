// SPDX-License-Identifier: Apache-2.0
// An engine: the folder that a build leaves and a session opens. config.json is the manifest,
// rank0.engine the plan and the machine code of its kernels; tokenizer and template files stand
// beside them; weights stay in the checkpoint (by reference, identity checked) or in weights/
// (bundled), and weight_hashes.json says what is in them.
#pragma once

#include <filesystem>

#include "tokamak/engine/manifest.h"
#include "tokamak/engine/memory_plan.h"
#include "tokamak/engine/rank_file.h"
#include "tokamak/engine/weight_hashes.h"
#include "tokamak/tensor/safetensors.h"

namespace tokamak::engine {

struct Engine {
  std::filesystem::path folder;  ///< Empty for an engine that lives in memory only.
  Manifest manifest;
  Plan plan;
  /// Of all kernels that a session needs, so that opening it compiles nothing; empty on targets
  /// whose kernels are part of the program.
  std::vector<EngineCode> code;
  WeightHashes weight_hashes;  ///< Empty if none were taken.
  int64_t code_bytes() const;
};

/// Begins to write `engine` into its folder. What was an engine there is none from now on, and the
/// folder is none until finish_engine(): whoever is stopped between leaves nothing that opens.
Result<void> begin_engine(Engine& engine);
/// Writes a file of the folder, whole or not at all, and notes its hash in the manifest.
Result<void> write_engine_file(Engine& engine,
                               const std::filesystem::path& name,
                               std::string_view content);
/// Writes the weights' hashes, if they were taken, and at last the manifest.
Result<void> finish_engine(Engine& engine);

/// Reads an engine and compares all its files but the weights with their hashes. Errors: not_found
/// (no engine here), corrupt (file and what is wrong), unsupported (format of another version, with
/// both versions).
Result<Engine> read_engine(const std::filesystem::path& folder);
/// Whether there is an engine, or what is left of one that was not finished.
bool is_engine_folder(const std::filesystem::path& folder);

/// Opens the weights that the manifest names and compares their identity. Errors: not_found,
/// corrupt (another checkpoint than the engine was built from).
Result<tensor::TensorFiles> open_weights(const Engine& engine);

/// "1.23 GiB".
std::string bytes_text(int64_t bytes);
/// The byte table, one line a row and the sum.
std::string byte_table_text(const MemoryPlan& plan);

}  // namespace tokamak::engine
