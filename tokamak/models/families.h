// SPDX-License-Identifier: Apache-2.0
// The model families: from a config.json to a DecoderSpec.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
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

/// What a family's config class in Hugging Face transformers takes for keys that are missing; each
/// family's file has its own.
struct ConfigDefaults {
  int64_t vocab_size, hidden_size, intermediate_size;
  int64_t num_layers, num_heads;
  int64_t num_kv_heads = 0;  ///< 0: as many as heads.
  int64_t head_dim = 0;      ///< 0: hidden_size / num_heads.
  int64_t max_positions;
  std::string_view norm_eps_key = "rms_norm_eps";
  double norm_eps = 1e-6;
  std::string_view activation_key = "hidden_act", activation = "silu";
  bool tied_embeddings = false;
  double rope_theta = 10000.0, partial_rotary_factor = 1.0;
  int64_t original_positions = 0;  ///< original_max_position_embeddings; 0: max_positions.
  int64_t bos_id = -1;             ///< -1: none.
  std::array<int64_t, 3> eos_ids = {-1, -1, -1};
};

/// What Gemma 2 and 3 share.
DecoderSpec gemma_decoder(ConfigReader& config,
                          std::string_view family,
                          const ConfigDefaults& defaults);

/// Which layers see a window only: those that `layer_types` calls so, else those that `usual` says.
std::vector<bool> sliding_layers(ConfigReader& config,
                                 size_t num_layers,
                                 const std::function<bool(size_t)>& usual);
/// For families whose layers all see the window, or all see everything: `layer_types`, if there,
/// must say the same.
void set_window(ConfigReader& config, DecoderSpec& spec, std::optional<int64_t> window);
/// Windows of Qwen 2 and 3, which are off unless `use_sliding_window` says otherwise.
void qwen_windows(ConfigReader& config, DecoderSpec& spec);

std::span<const Family> families();

/// What the checkpoint's config.json says beside the architecture.
struct ModelInfo {
  DecoderSpec spec;
  std::optional<DType> stored_dtype;  ///< Nothing: config.json does not say.
  std::vector<int64_t> eos_ids;       ///< Of generation_config.json, then of config.json, else the
                                      ///< family's.
  int64_t bos_id = -1;
};

/// Errors: unsupported (the architecture, by name, or a setting of it), invalid (a key, its value,
/// the limit).
Result<ModelInfo> read_model(const Json& config, const Json& generation_config = Json::object());
/// Reads config.json and, if there is one, generation_config.json of a checkpoint folder.
Result<ModelInfo> read_model(const std::filesystem::path& folder);

/// What most decoders write the same way: sizes, norm epsilon, activation, tied embeddings, rotary
/// settings of all layers.
DecoderSpec common_decoder(ConfigReader& config,
                           std::string_view family,
                           const ConfigDefaults& defaults);
/// The same without rotary settings: the layers are all alike and do not rotate.
DecoderSpec common_sizes(ConfigReader& config,
                         std::string_view family,
                         const ConfigDefaults& defaults);

/// Of these, for families that name their sizes otherwise: what is no size,
void read_common(ConfigReader& config, DecoderSpec& spec, const ConfigDefaults& defaults);
/// the number of layers, which has a limit,
int64_t layer_count(ConfigReader& config,
                    std::initializer_list<std::string_view> names,
                    int64_t fallback);
/// and head_dim where the heads divide hidden_size among them.
int64_t equal_heads(ConfigReader& config, const DecoderSpec& spec);

}  // namespace tokamak::models
