// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/engine.h"

#include "tokamak/base/hash.h"

namespace tokamak::engine {
namespace {

constexpr std::string_view kManifestFile = "config.json", kRankFile = "rank0.engine";

Json manifest_json(const Manifest& m, const std::string& rank_hash) {
  return {{"format", "tokamak engine"},
          {"format_version", kFormatVersion},
          {"family", m.family},
          {"model_name", m.model_name},
          {"dtype", tensor::dtype_name(m.dtype)},
          {"target", m.target},
          {"fingerprint", m.fingerprint},
          {"checkpoint", m.checkpoint.string()},
          {"checkpoint_fingerprint", m.checkpoint_fingerprint},
          {"bundled", m.bundled},
          {"dummy_weights", m.dummy_weights},
          {"num_parameters", m.num_parameters},
          {"eos_token_id", m.eos_ids},
          {"bos_token_id", m.bos_id},
          {"build_seconds", m.build_seconds},
          {"rank_hash", rank_hash}};
}

Result<Manifest> manifest_from(const Json& json) {
  Manifest m;
  TKM_ASSIGN(m.family, base::get_string(json, "family"));
  TKM_ASSIGN(m.model_name, base::get_string(json, "model_name"));
  TKM_ASSIGN(std::string dtype, base::get_string(json, "dtype"));
  TKM_ASSIGN(m.dtype, tensor::dtype_from_name(dtype));
  TKM_ASSIGN(m.target, base::get_string(json, "target"));
  TKM_ASSIGN(m.fingerprint, base::get_string(json, "fingerprint"));
  TKM_ASSIGN(std::string checkpoint, base::get_string(json, "checkpoint"));
  m.checkpoint = checkpoint;
  TKM_ASSIGN(m.checkpoint_fingerprint, base::get_string(json, "checkpoint_fingerprint"));
  TKM_ASSIGN(m.bundled, base::get_bool(json, "bundled"));
  TKM_ASSIGN(m.dummy_weights, base::get_bool(json, "dummy_weights"));
  TKM_ASSIGN(m.num_parameters, base::get_int(json, "num_parameters"));
  TKM_ASSIGN(m.eos_ids, base::get_ints(json, "eos_token_id"));
  TKM_ASSIGN(m.bos_id, base::get_int(json, "bos_token_id"));
  TKM_ASSIGN(m.build_seconds, base::get_number(json, "build_seconds"));
  return m;
}

}  // namespace

Result<void> write_engine(const Engine& engine) {
  TKM_RETURN_IF_ERROR(base::make_folders(engine.folder));
  std::string rank = write_rank_file({.plan = engine.plan.to_json().dump(), .code = engine.code});
  TKM_RETURN_IF_ERROR(base::write_file_atomic(engine.folder / kRankFile, rank));
  Json manifest = manifest_json(engine.manifest, base::hash_text(rank).hex());
  return base::write_file_atomic(engine.folder / kManifestFile, manifest.dump(1) + "\n");
}

bool is_engine_folder(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / kRankFile);
}

Result<Engine> read_engine(const std::filesystem::path& folder) {
  if (!is_engine_folder(folder))
    return base::not_found(
        fmt::format("{} is not an engine folder (no {})", folder.string(), kRankFile),
        "build one with: tokamak build CHECKPOINT --output FOLDER");
  std::string shown = (folder / kManifestFile).string();
  TKM_ASSIGN(std::string text, base::read_file(folder / kManifestFile));
  TKM_ASSIGN(Json json, base::parse_json(text, shown));
  TKM_ASSIGN(int64_t version, base::get_int(json, "format_version", 0));
  if (version != kFormatVersion) {
    return base::unsupported(
        fmt::format("{}: engine format {}, this program reads {}", shown, version, kFormatVersion),
        "build the engine again; it takes seconds");
  }
  Engine engine;
  engine.folder = folder;
  auto manifest = manifest_from(json);
  if (!manifest.ok()) return base::corrupt(shown + ": " + manifest.error().message);
  engine.manifest = std::move(*manifest);
  std::string rank_shown = (folder / kRankFile).string();
  TKM_ASSIGN(std::string content, base::read_file(folder / kRankFile));
  TKM_ASSIGN(std::string rank_hash, base::get_string(json, "rank_hash"));
  if (base::hash_text(content).hex() != rank_hash) {
    return base::corrupt(fmt::format("{}: its content is not what the manifest says", rank_shown),
                         "build the engine again");
  }
  TKM_ASSIGN(RankFile rank, read_rank_file(content, rank_shown));
  TKM_ASSIGN(Json plan, base::parse_json(rank.plan, rank_shown));
  TKM_ASSIGN(engine.plan, Plan::from_json(plan));
  engine.code = std::move(rank.code);
  return engine;
}

int64_t Engine::code_bytes() const {
  int64_t bytes = 0;
  for (const EngineCode& one : code) bytes += std::ssize(one.content);
  return bytes;
}

Result<tensor::TensorFiles> open_weights(const Engine& engine) {
  const Manifest& m = engine.manifest;
  std::filesystem::path folder = m.bundled ? engine.folder / m.checkpoint : m.checkpoint;
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
