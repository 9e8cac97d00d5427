// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/engine.h"

#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"

namespace tokamak::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRankFile = "rank0.engine", kHashesFile = "weight_hashes.json";

/// A file with the content that it had when the engine was built.
Result<std::string> read_checked(const fs::path& path, const std::string& hash) {
  auto refused = [&](std::string_view what) {
    return base::corrupt(fmt::format("{}{}", path.string(), what), "build the engine again");
  };
  if (std::error_code ignored; !fs::exists(path, ignored)) return refused(" is missing");
  TKM_ASSIGN(std::string content, base::read_file(path));
  if (base::hash_text(content).hex() != hash)
    return refused(": its content is not what the manifest says");
  return content;
}

}  // namespace

Result<void> begin_engine(Engine& engine) {
  TKM_RETURN_IF_ERROR(base::make_folders(engine.folder));
  std::error_code code;
  fs::remove(engine.folder / kManifestFile, code);
  if (code)
    return base::io_error(fmt::format(
        "cannot remove {}: {}", (engine.folder / kManifestFile).string(), code.message()));
  std::string rank = write_rank_file({.plan = engine.plan.to_json().dump(), .code = engine.code});
  engine.manifest.rank_hash = base::hash_text(rank).hex();
  engine.manifest.files.clear();
  return base::write_file_atomic(engine.folder / kRankFile, rank);
}

Result<void> write_engine_file(Engine& engine, const fs::path& name, std::string_view content) {
  fs::path path = engine.folder / name;
  TKM_RETURN_IF_ERROR(base::make_folders(path.parent_path()));
  TKM_RETURN_IF_ERROR(base::write_file_atomic(path, content));
  engine.manifest.files[name.string()] = base::hash_text(content).hex();
  return {};
}

Result<void> finish_engine(Engine& engine) {
  if (!engine.weight_hashes.empty())
    TKM_RETURN_IF_ERROR(
        write_engine_file(engine, kHashesFile, weight_hashes_text(engine.weight_hashes)));
  return write_manifest(engine.folder, engine.manifest);
}

bool is_engine_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kRankFile, ignored) || has_manifest(folder);
}

Result<Engine> read_engine(const fs::path& folder) {
  if (!is_engine_folder(folder))
    return base::not_found(
        fmt::format("{} is not an engine folder (no {})", folder.string(), kRankFile),
        "build one with: tokamak build CHECKPOINT --output FOLDER");
  Engine engine{.folder = folder};
  TKM_ASSIGN(engine.manifest, read_manifest(folder));
  const fs::path rank_path = folder / kRankFile;
  TKM_ASSIGN(std::string content, read_checked(rank_path, engine.manifest.rank_hash));
  TKM_ASSIGN(RankFile rank, read_rank_file(content, rank_path.string()));
  TKM_ASSIGN(Json plan, base::parse_json(rank.plan, rank_path.string()));
  TKM_ASSIGN(engine.plan, Plan::from_json(plan));
  engine.code = std::move(rank.code);
  for (const auto& [name, hash] : engine.manifest.files) {
    TKM_ASSIGN(std::string text, read_checked(folder / name, hash));
    if (name != kHashesFile) continue;
    TKM_ASSIGN(engine.weight_hashes, read_weight_hashes(text, (folder / name).string()));
  }
  return engine;
}

int64_t Engine::code_bytes() const {
  int64_t bytes = 0;
  for (const EngineCode& one : code) bytes += std::ssize(one.content);
  return bytes;
}

Result<tensor::TensorFiles> open_weights(const Engine& engine) {
  const Manifest& m = engine.manifest;
  fs::path folder = m.bundled ? engine.folder / m.checkpoint : m.checkpoint;
  auto files = tensor::TensorFiles::open(folder);
  if (!files.ok()) {
    Error error = files.error();
    if (error.hint.empty())
      error.hint =
          "the engine refers to this checkpoint; give it back its place, or build with --bundle";
    return error;
  }
  if (files->fingerprint() != m.checkpoint_fingerprint) {
    return base::corrupt(
        fmt::format("the weights in {} are not those that the engine was built from",
                    folder.string()),
        "build the engine again; it takes seconds");
  }
  return files;
}

std::string bytes_text(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  for (; value >= 1024 && unit < 4; ++unit) value /= 1024;
  return unit ? fmt::format("{:.2f} {}", value, kUnits[unit]) : fmt::format("{} B", bytes);
}

std::string byte_table_text(const MemoryPlan& plan) {
  std::string out;
  for (const ByteRow& row : plan.table)
    out += fmt::format("  {:<14} {:>16} {:>12}\n", row.name, row.bytes, bytes_text(row.bytes));
  return out + fmt::format("  {:<14} {:>16} {:>12}\n",
                           "total",
                           plan.total_bytes(),
                           bytes_text(plan.total_bytes()));
}

}  // namespace tokamak::engine
