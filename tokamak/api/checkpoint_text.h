// SPDX-License-Identifier: Apache-2.0
// The text files of a checkpoint and of an engine, compared: which there are and what is in them.
#pragma once

#include <map>

#include "tokamak/engine/engine.h"

namespace tokamak::api {

/// Content hashes of a checkpoint's text.
struct CheckpointText {
  std::string config;                        ///< Of config.json.
  std::map<std::string, std::string> files;  ///< Of those that an engine copies, by name.
  /// All of it, for a key.
  std::string text() const;
};
Result<CheckpointText> checkpoint_text(const std::filesystem::path& checkpoint);

/// Whether the engine has this text: the same files with the same content.
bool has_text(const engine::Manifest& manifest, const CheckpointText& text);

/// Each text file in the engine's folder is one that it was built with. Errors: corrupt, naming one
/// that is not.
Result<void> check_text_files(const engine::Engine& engine);

}  // namespace tokamak::api
