// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/model_folder.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "tokamak/base/file.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRepository = "models--";

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

/// As huggingface_hub finds it.
fs::path hub_cache() {
  if (const char* folder = variable("HF_HUB_CACHE")) return folder;
  if (const char* home = variable("HF_HOME")) return fs::path(home) / "hub";
  if (const char* cache = variable("XDG_CACHE_HOME")) return fs::path(cache) / "huggingface/hub";
  const char* home = variable("HOME");
  return fs::path(home ? home : "/") / ".cache/huggingface/hub";
}

bool is_id_part(std::string_view text) {
  return !text.empty() && text[0] != '.' && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
}

/// "org/name" or "name".
bool is_hub_id(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return is_id_part(text);
  return is_id_part(std::string_view(text).substr(0, slash)) &&
         is_id_part(std::string_view(text).substr(slash + 1));
}

/// The folder of an id's repository in the cache.
fs::path repository(const std::string& id) {
  std::string name(kRepository);
  for (char c : id) name += c == '/' ? "--" : std::string(1, c);
  return hub_cache() / name;
}

std::string trimmed(const std::string& text) {
  return text.substr(0, text.find_last_not_of(" \r\n") + 1);
}

}  // namespace

Result<fs::path> find_model(const fs::path& model) {
  if (fs::exists(model)) return model;
  const std::string id = model.string();
  if (!is_hub_id(id))
    return base::not_found(fmt::format("{} does not exist", id),
                           "give a checkpoint folder (with config.json) or an engine folder");
  const std::string name = id.substr(id.find('/') + 1);
  const std::string fetch =
      fmt::format("hf download {} --local-dir {}, then use {} in its place", id, name, name);
  const fs::path folder = repository(id);
  const fs::path ref = folder / "refs" / "main";
  if (!fs::exists(ref)) {
    // A path of two parts may be mistyped as well.
    return base::not_found(
        fmt::format(
            "{} is neither a folder nor a model in the hub's cache {}", id, hub_cache().string()),
        "to fetch it from the Hugging Face hub: " + fetch);
  }
  TKM_ASSIGN(std::string commit, base::read_file(ref, 4096));
  commit = trimmed(commit);
  fs::path snapshot = folder / "snapshots" / commit;
  if (is_id_part(commit) && fs::exists(snapshot / "config.json")) return snapshot;
  return base::not_found(
      fmt::format("{}: the hub's cache {} holds only a part of it", id, folder.string()), fetch);
}

std::string model_name(const fs::path& folder) {
  fs::path path = fs::absolute(folder).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  const std::string repository = path.parent_path().parent_path().filename().string();
  if (path.parent_path().filename() != "snapshots" || !repository.starts_with(kRepository))
    return path.filename().string();
  const std::string id = repository.substr(kRepository.size());
  const size_t organisation = id.find("--");
  return organisation == std::string::npos ? id : id.substr(organisation + 2);
}

}  // namespace tokamak::api
