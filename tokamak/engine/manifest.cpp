// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/manifest.h"

#include <algorithm>

#include <sys/stat.h>

#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/base/json.h"

namespace tokamak::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "tokamak engine", kBuildAgain = "build the engine again";

Json to_json(const Manifest& m) {
  return {{"format", kFormat},
          {"format_version", kFormatVersion},
          {"family", m.family},
          {"model_name", m.model_name},
          {"dtype", tensor::dtype_name(m.dtype)},
          {"target", m.target},
          {"fingerprint", m.fingerprint},
          {"checkpoint", m.checkpoint.string()},
          {"checkpoint_fingerprint", m.checkpoint_fingerprint},
          {"weights_stamp", m.weights_stamp},
          {"bundled", m.bundled},
          {"dummy_weights", m.dummy_weights},
          {"num_parameters", m.num_parameters},
          {"eos_token_id", m.eos_ids},
          {"bos_token_id", m.bos_id},
          {"build_seconds", m.build_seconds},
          {"config_hash", m.config_hash},
          {"cache_key", m.cache_key},
          {"rank_hash", m.rank_hash},
          {"files", m.files}};
}

Result<std::map<std::string, std::string>> files_from(const Json& json) {
  const Json* files = base::find(json, "files");
  if (!files || !files->is_object()) return base::corrupt("'files' is not an object");
  std::map<std::string, std::string> out;
  for (const auto& [name, hash] : files->items()) {
    fs::path path(name);
    bool inside = !path.empty() && path.is_relative() &&
                  std::find(path.begin(), path.end(), "..") == path.end();
    if (!inside || !hash.is_string())
      return base::corrupt(
          fmt::format("'files' names '{}': must be a hash by a path within the "
                      "folder",
                      name));
    out[name] = hash.get<std::string>();
  }
  return out;
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
  TKM_ASSIGN(m.weights_stamp, base::get_string(json, "weights_stamp"));
  TKM_ASSIGN(m.bundled, base::get_bool(json, "bundled"));
  TKM_ASSIGN(m.dummy_weights, base::get_bool(json, "dummy_weights"));
  TKM_ASSIGN(m.num_parameters, base::get_int(json, "num_parameters"));
  TKM_ASSIGN(m.eos_ids, base::get_ints(json, "eos_token_id"));
  TKM_ASSIGN(m.bos_id, base::get_int(json, "bos_token_id"));
  TKM_ASSIGN(m.build_seconds, base::get_number(json, "build_seconds"));
  TKM_ASSIGN(m.config_hash, base::get_string(json, "config_hash"));
  TKM_ASSIGN(m.cache_key, base::get_string(json, "cache_key"));
  TKM_ASSIGN(m.rank_hash, base::get_string(json, "rank_hash"));
  TKM_ASSIGN(m.files, files_from(json));
  return m;
}

/// Of the text with zeros in the place of its hash, which is the last of its members.
std::string own_hash(std::string text, std::string_view hash) {
  size_t at = text.rfind(hash);
  if (hash.empty() || at == std::string::npos) return {};
  text.replace(at, hash.size(), hash.size(), '0');
  return base::hash_text(text).hex();
}

}  // namespace

Result<void> write_manifest(const fs::path& folder, const Manifest& manifest) {
  const std::string zeros(32, '0');
  Json json = to_json(manifest);
  json["hash"] = zeros;
  std::string text = json.dump(1) + "\n";
  text.replace(text.rfind(zeros), zeros.size(), own_hash(text, zeros));
  return base::write_file_atomic(folder / kManifestFile, text);
}

Result<Manifest> read_manifest(const fs::path& folder) {
  const std::string shown = (folder / kManifestFile).string();
  if (std::error_code ignored; !fs::exists(folder / kManifestFile, ignored))
    return base::corrupt(shown + " is missing: the build of this engine was not finished",
                         std::string(kBuildAgain));
  TKM_ASSIGN(std::string text, base::read_file(folder / kManifestFile));
  TKM_ASSIGN(Json json, base::parse_json(text, shown));
  auto version = base::get_int(json, "format_version", 0);
  if (!version.ok()) return base::corrupt(shown + ": " + version.error().message);
  if (*version != kFormatVersion) {
    return base::unsupported(
        fmt::format("{}: engine format {}, this program reads {}", shown, *version, kFormatVersion),
        "build the engine again; it takes seconds");
  }
  auto hash = base::get_string(json, "hash", "");
  if (!hash.ok() || hash->size() != 32 || own_hash(text, *hash) != *hash)
    return base::corrupt(shown + ": its content is not what the build wrote",
                         std::string(kBuildAgain));
  auto manifest = manifest_from(json);
  if (!manifest.ok()) return base::corrupt(shown + ": " + manifest.error().message);
  return manifest;
}

bool has_manifest(const fs::path& folder) {
  auto text = base::read_file(folder / kManifestFile, 16 << 20);
  if (!text.ok()) return false;
  auto json = base::parse_json(*text, kManifestFile);
  if (!json.ok()) return false;
  auto format = base::get_string(*json, "format", "");
  return format.ok() && *format == kFormat;
}

std::string weights_stamp(const fs::path& checkpoint) {
  std::vector<fs::path> names;
  std::error_code ignored;
  for (fs::directory_iterator it(checkpoint, ignored), end; it != end; it.increment(ignored)) {
    std::string name = it->path().filename().string();
    if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json"))
      names.push_back(it->path());
  }
  std::sort(names.begin(), names.end());
  std::string stamp;
  for (const fs::path& path : names) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) continue;
    stamp += fmt::format("{} {} {}.{:09} {}\n",
                         path.filename().string(),
                         info.st_size,
                         info.st_mtim.tv_sec,
                         info.st_mtim.tv_nsec,
                         info.st_ino);
  }
  return base::hash_text(stamp).hex();
}

}  // namespace tokamak::engine
