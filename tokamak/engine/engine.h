// SPDX-License-Identifier: Apache-2.0
// An engine: the folder that a build leaves and a session opens. config.json is the manifest,
// rank0.engine the plan and the machine code of its kernels; tokenizer and template files stand
// beside them; weights stay in the checkpoint (by reference, identity checked) or in weights/
// (bundled).
#pragma once

#include <filesystem>

#include "tokamak/engine/memory_plan.h"
#include "tokamak/engine/rank_file.h"
#include "tokamak/tensor/safetensors.h"

namespace tokamak::engine {

inline constexpr int64_t kFormatVersion = 3;

struct Manifest {
  std::string family;
  std::string model_name;  ///< Name of the checkpoint folder.
  DType dtype = DType::kBF16;
  std::string target;                ///< "cpu"
  std::string fingerprint;           ///< Of the device that the plan was tuned on.
  std::filesystem::path checkpoint;  ///< Folder of the weights; relative to the engine if bundled;
                                     ///< empty with dummy weights.
  std::string checkpoint_fingerprint;  ///< tensor::TensorFiles::fingerprint().
  bool bundled = false;
  bool dummy_weights = false;
  int64_t num_parameters = 0;
  std::vector<int64_t> eos_ids;
  int64_t bos_id = -1;
  double build_seconds = 0;
};

struct Engine {
  std::filesystem::path folder;  ///< Empty for an engine that lives in memory only.
  Manifest manifest;
  Plan plan;
  /// Of all kernels that a session needs, so that opening it compiles nothing; empty on targets
  /// whose kernels are part of the program.
  std::vector<EngineCode> code;
  int64_t code_bytes() const;
};

/// Writes manifest and plan into `engine.folder`: each file whole or not at all, the manifest last,
/// so that a folder with a manifest is complete.
Result<void> write_engine(const Engine& engine);
/// Errors: not_found (no engine here), corrupt (file and what is wrong), unsupported (format of
/// another version, with both versions).
Result<Engine> read_engine(const std::filesystem::path& folder);
bool is_engine_folder(const std::filesystem::path& folder);

/// Opens the weights that the manifest names and compares their identity. Errors: not_found,
/// corrupt (another checkpoint than the engine was built from).
Result<tensor::TensorFiles> open_weights(const Engine& engine);

/// "1.23 GiB".
std::string bytes_text(int64_t bytes);
/// The byte table, one line a row and the sum.
std::string byte_table_text(const MemoryPlan& plan);

}  // namespace tokamak::engine
