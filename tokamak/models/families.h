// SPDX-License-Identifier: Apache-2.0
// The model families: from a config.json to a DecoderSpec.
#pragma once

#include <algorithm>
#include <filesystem>
#include <span>
#include <string_view>

#include "tokamak/models/config_reader.h"
#include "tokamak/models/decoder.h"

namespace tokamak::models {

/// Fills a spec from a config; problems are reported through the reader. Each family is one such
/// function in a file of its own; families.cpp is the table of all of them.
using FamilyFunction = DecoderSpec (*)(ConfigReader& config);

struct Family {
  std::string_view name;
  std::string_view architecture;  ///< As in config.json's "architectures".
  FamilyFunction spec;            ///< Null: known, but not supported; `reason` says why.
  std::string_view reason;
};

/// What Gemma 2 and 3 share.
DecoderSpec gemma_decoder(ConfigReader& config, std::string_view family);
/// Windows of Qwen 2 and 3, which are off unless `use_sliding_window` says otherwise.
void qwen_windows(ConfigReader& config, DecoderSpec& spec);

std::span<const Family> families();

/// What the checkpoint's config.json says beside the architecture.
struct ModelInfo {
  DecoderSpec spec;
  DType stored_dtype = DType::kBF16;
  std::vector<int64_t> eos_ids;  ///< Of generation_config.json, then of config.json.
  int64_t bos_id = -1;
};

/// Errors: unsupported (the architecture, by name, or a setting of it), invalid (a key, its value,
/// the limit).
Result<ModelInfo> read_model(const Json& config, const Json& generation_config = Json::object());
/// Reads config.json and, if there is one, generation_config.json of a checkpoint folder.
Result<ModelInfo> read_model(const std::filesystem::path& folder);

/// What most decoders write the same way: sizes, norm epsilon, activation, tied embeddings, rotary
/// settings of all layers.
DecoderSpec common_decoder(ConfigReader& config, std::string_view family);

}  // namespace tokamak::models
