// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/tokenizer_config.h"

#include <algorithm>
#include <charconv>

#include "tokamak/base/file.h"
#include "tokamak/base/json.h"
#include "tokamak/text/tokenizer_json.h"

namespace tokamak::text {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{64} << 20;

/// The JSON of a file, null if there is no such file.
Result<Json> read_json(const std::filesystem::path& path) {
  auto text = base::read_file(path, kMaxBytes);
  if (!text.ok() && text.error().code == ErrorCode::kNotFound) return Json();
  if (!text.ok()) return text.error();
  TKM_ASSIGN(Json json, base::parse_json(*text, path.string()));
  if (!json.is_object()) {
    return base::corrupt(fmt::format("{}: must be an object", path.string()));
  }
  return json;
}

/// A token as a string or as an object with its content and flags.
Result<AddedToken> read_special(const Json& json, const std::string& where) {
  AddedToken token;
  if (json.is_string()) {
    token.content = json.get<std::string>();
    token.normalized = false;
  } else {
    TKM_ASSIGN(token, read_added_token(json, where));
  }
  token.special = true;
  return token;
}

Result<void> read_specials(const Json& json, const std::string& file, TokenizerConfig& config) {
  for (std::string_view key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const Json* value = base::find(json, key);
    if (!value) continue;
    TKM_ASSIGN(AddedToken token, read_special(*value, fmt::format("{}: {}", file, key)));
    if (key == "bos_token") config.bos_token = token.content;
    if (key == "eos_token") config.eos_token = token.content;
    config.special_tokens.push_back(std::move(token));
  }
  const Json* more = base::find(json, "additional_special_tokens");
  if (!more || !more->is_array()) return {};
  for (const Json& value : *more) {
    TKM_ASSIGN(AddedToken token,
               read_special(value, fmt::format("{}: additional_special_tokens", file)));
    config.special_tokens.push_back(std::move(token));
  }
  return {};
}

Result<void> read_added(const Json& json, const std::string& file, TokenizerConfig& config) {
  const Json* added = base::find(json, "added_tokens_decoder");
  if (!added) return {};
  if (!added->is_object()) {
    return base::corrupt(fmt::format("{}: added_tokens_decoder must be an object", file));
  }
  for (const auto& [key, value] : added->items()) {
    std::string where = fmt::format("{}: added_tokens_decoder['{}']", file, key);
    TokenId id = -1;
    auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (code != std::errc() || end != key.data() + key.size() || id < 0 || id >= kMaxTokens) {
      return base::corrupt(where + ": the key is no token id");
    }
    TKM_ASSIGN(AddedToken token, read_added_token(value, where));
    config.added_tokens.emplace_back(id, std::move(token));
  }
  std::sort(config.added_tokens.begin(), config.added_tokens.end(), [](auto& a, auto& b) {
    return a.first < b.first;
  });
  return {};
}

}  // namespace

Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig config;
  std::filesystem::path path = folder / "tokenizer_config.json";
  TKM_ASSIGN(Json json, read_json(path));
  TKM_RETURN_IF_ERROR(read_added(json, path.string(), config));
  TKM_RETURN_IF_ERROR(read_specials(json, path.string(), config));
  auto optional_bool = [&](std::string_view key) -> std::optional<bool> {
    const Json* value = base::find(json, key);
    return value && value->is_boolean() ? std::optional(value->get<bool>()) : std::nullopt;
  };
  config.add_bos_token = optional_bool("add_bos_token");
  config.add_eos_token = optional_bool("add_eos_token");
  config.legacy = optional_bool("legacy").value_or(true);
  if (const Json* name = base::find(json, "tokenizer_class"); name && name->is_string()) {
    config.tokenizer_class = name->get<std::string>();
  }
  if (config.special_tokens.empty()) {
    path = folder / "special_tokens_map.json";
    TKM_ASSIGN(Json map, read_json(path));
    TKM_RETURN_IF_ERROR(read_specials(map, path.string(), config));
  }
  return config;
}

Result<void> apply_tokens(const TokenizerConfig& config, Pipeline& parts) {
  std::vector<AddedToken> tokens;
  for (const auto& [id, token] : config.added_tokens) {
    if (token.content.empty()) continue;
    if (!parts.names.find(token.content)) parts.names.set(token.content, id);
    tokens.push_back(token);
  }
  for (const AddedToken& token : config.special_tokens) {
    auto id = parts.names.find(token.content);
    bool known = id && parts.added.decoded_form(*id);
    for (const AddedToken& other : tokens) known = known || other.content == token.content;
    if (!known) tokens.push_back(token);
  }
  TKM_RETURN_IF_ERROR(parts.added.add(std::move(tokens), parts.normalizer.get(), parts.names));
  if (!config.bos_token.empty()) parts.bos = parts.names.find(config.bos_token);
  if (!config.eos_token.empty()) parts.eos = parts.names.find(config.eos_token);
  return {};
}

void apply_bos_and_eos(const TokenizerConfig& config, Pipeline& parts) {
  if (config.add_bos_token) parts.prefix.clear();
  if (config.add_bos_token.value_or(false) && parts.bos) parts.prefix = {*parts.bos};
  if (config.add_eos_token.value_or(false) && parts.eos) parts.suffix = {*parts.eos};
}

}  // namespace tokamak::text
