// SPDX-License-Identifier: Apache-2.0
// Where a model that somebody names lies: a folder, or an id of the Hugging Face hub in its cache.
#pragma once

#include <filesystem>
#include <string>

#include "tokamak/base/result.h"

namespace tokamak::api {

/// A path that exists as it is. Else "org/name" (or "name") in the hub's cache: the snapshot that
/// its refs/main names, under $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
/// ~/.cache/huggingface/hub. Nothing is fetched. Errors: not_found, with the command that fetches
/// it.
Result<std::filesystem::path> find_model(const std::filesystem::path& model);

/// What a model in this folder is called: the folder's name; of a hub's snapshot the repository's,
/// without its organisation.
std::string model_name(const std::filesystem::path& folder);

}  // namespace tokamak::api
