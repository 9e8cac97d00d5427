// SPDX-License-Identifier: Apache-2.0
// config.json of an engine: what it was built from and for, and the hashes of the folder's other
// files and of itself, so that no byte of them can change unnoticed.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tokamak/base/result.h"
#include "tokamak/tensor/dtype.h"

namespace tokamak::engine {

inline constexpr int64_t kFormatVersion = 4;
inline constexpr std::string_view kManifestFile = "config.json";

struct Manifest {
  std::string family;
  std::string model_name;  ///< Name of the checkpoint folder.
  DType dtype = DType::kBF16;
  std::string target;                ///< "cpu"
  std::string fingerprint;           ///< Of the device that the plan was tuned on.
  std::filesystem::path checkpoint;  ///< Folder of the weights; relative to the engine if bundled;
                                     ///< empty with dummy weights.
  std::string checkpoint_fingerprint;  ///< tensor::TensorFiles::fingerprint().
  std::string weights_stamp;           ///< weights_stamp() of the checkpoint, not of a bundle.
  bool bundled = false;
  bool dummy_weights = false;
  int64_t num_parameters = 0;
  std::vector<int64_t> eos_ids;
  int64_t bos_id = -1;
  double build_seconds = 0;
  std::string config_hash;  ///< Of the checkpoint's config.json.
  std::string cache_key;    ///< Of an engine that was built for the cache; else empty.
  std::string rank_hash;    ///< Of rank0.engine.
  /// Hashes of all other files but the tensors', by their paths within the folder.
  std::map<std::string, std::string> files;
};

/// Writes the manifest of an engine folder, the last of its files.
Result<void> write_manifest(const std::filesystem::path& folder, const Manifest& manifest);
/// Errors: corrupt (missing, another hash than its own), unsupported (format of another version,
/// with both versions).
Result<Manifest> read_manifest(const std::filesystem::path& folder);
/// Whether the folder's config.json is an engine's, of any version, and no checkpoint's.
bool has_manifest(const std::filesystem::path& folder);

/// Size, time of change and number of each weight file of a checkpoint, as the system says: what
/// differs when files were written or exchanged. Reads none of them.
std::string weights_stamp(const std::filesystem::path& checkpoint);

}  // namespace tokamak::engine
