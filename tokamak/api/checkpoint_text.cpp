// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/checkpoint_text.h"

#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/text/files.h"

namespace tokamak::api {

namespace fs = std::filesystem;

std::string CheckpointText::text() const {
  std::string out = "config.json " + config;
  for (const auto& [name, hash] : files) out += fmt::format("\n{} {}", name, hash);
  return out;
}

Result<CheckpointText> checkpoint_text(const fs::path& checkpoint) {
  auto hash_of = [&](const fs::path& name) -> Result<std::string> {
    TKM_ASSIGN(std::string content, base::read_file(checkpoint / name));
    return base::hash_text(content).hex();
  };
  CheckpointText out;
  TKM_ASSIGN(out.config, hash_of("config.json"));
  for (const fs::path& name : text::text_files(checkpoint)) {
    TKM_ASSIGN(out.files[name.string()], hash_of(name));
  }
  return out;
}

bool has_text(const engine::Manifest& manifest, const CheckpointText& text) {
  // An engine in the cache holds text files only.
  return manifest.config_hash == text.config && manifest.files == text.files;
}

Result<void> check_text_files(const engine::Engine& engine) {
  for (const fs::path& name : text::text_files(engine.folder)) {
    if (engine.manifest.files.contains(name.string())) continue;
    return base::corrupt(
        fmt::format("{} is not of this engine: it was not there when the engine was built",
                    (engine.folder / name).string()),
        "remove it, or build the engine again from a checkpoint that has it");
  }
  return {};
}

}  // namespace tokamak::api
