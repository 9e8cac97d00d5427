// SPDX-License-Identifier: Apache-2.0
// From an engine in memory to its folder.
#include "tokamak/api/build.h"
#include "tokamak/api/checkpoint_text.h"
#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/text/files.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWeights = "weights", kIndex = "model.safetensors.index.json";
constexpr std::string_view kOwnFolder = "give the engine a folder of its own";

Result<void> remove_whole(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
  if (!code) return {};
  return base::io_error(fmt::format("cannot remove {}: {}", path.string(), code.message()));
}

/// A folder that holds a checkpoint is left alone: its config.json, or its weights, would be lost.
Result<void> check_output(const fs::path& output, const fs::path& checkpoint) {
  std::error_code ignored;
  if (fs::exists(output / engine::kManifestFile, ignored) && !engine::has_manifest(output))
    return base::invalid(fmt::format("{} would be overwritten: it is no engine's",
                                     (output / engine::kManifestFile).string()),
                         std::string(kOwnFolder));
  if (fs::equivalent(output / kWeights, checkpoint, ignored))
    return base::invalid(
        fmt::format("{} is the place of an engine's own weights, and the checkpoint is there",
                    checkpoint.string()),
        std::string(kOwnFolder));
  return {};
}

/// Copies the checkpoint's tokenizer and template files.
Result<void> save_text_files(engine::Engine& engine) {
  const fs::path& checkpoint = engine.manifest.checkpoint;
  for (const fs::path& name : text::text_files(checkpoint)) {
    TKM_ASSIGN(std::string content, base::read_file(checkpoint / name));
    TKM_RETURN_IF_ERROR(engine::write_engine_file(engine, name, content));
  }
  return {};
}

Result<void> save_weights(engine::Engine& engine,
                          const tensor::TensorFiles& files,
                          const base::Progress& progress) {
  const fs::path folder = kWeights, index = engine.manifest.checkpoint / kIndex;
  TKM_RETURN_IF_ERROR(base::make_folders(engine.folder / folder));
  const auto total = std::ssize(files.files());
  for (int64_t i = 0; i < total; ++i) {
    const base::MappedFile& file = files.files()[static_cast<size_t>(i)];
    // Not through write_engine_file(): headers have a fingerprint, tensors their own hashes.
    TKM_RETURN_IF_ERROR(base::write_file_atomic(
        engine.folder / folder / file.path().filename(),
        std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size())));
    base::report(progress, "bundling weights", i + 1, total);
  }
  if (std::error_code ignored; fs::exists(index, ignored)) {
    TKM_ASSIGN(std::string text, base::read_file(index));
    TKM_RETURN_IF_ERROR(engine::write_engine_file(engine, folder / kIndex, text));
  }
  engine.manifest.checkpoint = folder;
  engine.manifest.weights_stamp.clear();
  engine.manifest.bundled = true;
  return {};
}

/// Text files of an engine that was in the folder before, which this one does not have.
Result<void> remove_leftovers(const engine::Engine& engine) {
  for (const fs::path& name : text::text_files(engine.folder)) {
    if (!engine.manifest.files.contains(name.string()))
      TKM_RETURN_IF_ERROR(remove_whole(engine.folder / name));
  }
  return {};
}

}  // namespace

Result<void> save_engine(engine::Engine& engine,
                         const fs::path& output,
                         bool bundle,
                         const base::Progress& progress,
                         bool hash_weights) {
  engine::Manifest& m = engine.manifest;
  TKM_RETURN_IF_ERROR(check_output(output, m.checkpoint));
  TKM_ASSIGN(std::string config, base::read_file(m.checkpoint / "config.json"));
  m.config_hash = base::hash_text(config).hex();
  if (m.weights_stamp.empty() && !m.dummy_weights)
    m.weights_stamp = engine::weights_stamp(m.checkpoint);
  const bool was_engine = engine::is_engine_folder(output);
  engine.folder = output;
  TKM_RETURN_IF_ERROR(engine::begin_engine(engine));
  if (was_engine) TKM_RETURN_IF_ERROR(remove_whole(output / kWeights));
  TKM_RETURN_IF_ERROR(save_text_files(engine));
  if (was_engine) TKM_RETURN_IF_ERROR(remove_leftovers(engine));
  TKM_RETURN_IF_ERROR(check_text_files(engine));
  if (!m.dummy_weights && (bundle || hash_weights)) {
    TKM_ASSIGN(tensor::TensorFiles files, engine::open_weights(engine));
    base::ThreadPool pool;
    if (hash_weights) engine.weight_hashes = engine::hash_weights(files, pool, progress);
    if (bundle) TKM_RETURN_IF_ERROR(save_weights(engine, files, progress));
    if (bundle) TKM_RETURN_IF_ERROR(engine::open_weights(engine));
  }
  return engine::finish_engine(engine);
}

}  // namespace tokamak::api
