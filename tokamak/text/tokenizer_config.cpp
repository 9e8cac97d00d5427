// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "tokamak/base/file.h"
#include "tokamak/base/json.h"
#include "tokamak/text/files.h"
#include "tokamak/text/tokenizer_classes.h"
#include "tokamak/text/tokenizer_json.h"

namespace tokamak::text {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{64} << 20;
/// Names of special tokens beside the seven that every model may have.
constexpr size_t kMostNames = 1024;

/// In the order in which transformers gives ids to those that are new.
constexpr std::string_view kCommonNames[] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

bool is_common(std::string_view name) {
  return std::find(std::begin(kCommonNames), std::end(kCommonNames), name) !=
         std::end(kCommonNames);
}

/// The object of a file, an empty one if there is no such file.
Result<Json> read_json(const std::filesystem::path& path) {
  auto text = base::read_file(path, kMaxBytes);
  if (!text.ok() && text.error().code == ErrorCode::kNotFound) return Json::object();
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

/// Special tokens as they are named file by file; a later file's word counts.
class Names {
 public:
  explicit Names(TokenizerConfig& config) : config_(config) {}

  Result<void> set(const std::string& name, const Json& value, const std::string& file) {
    if (value.is_null()) {
      std::erase_if(config_.named, [&](const auto& named) { return named.name == name; });
      if (is_common(name)) config_.unnamed.push_back(name);
      return {};
    }
    TKM_ASSIGN(AddedToken token, read_special(value, fmt::format("{}: {}", file, name)));
    if (token.content.empty()) return {};
    std::erase(config_.unnamed, name);
    for (auto& named : config_.named) {
      if (named.name != name) continue;
      named.token = std::move(token);
      return {};
    }
    if (config_.named.size() >= kMostNames) {
      return base::corrupt(fmt::format("{}: over {} named special tokens", file, kMostNames));
    }
    config_.named.push_back({name, std::move(token)});
    return {};
  }

  Result<void> add_more(const Json& list, const std::string& where) {
    for (const Json& value : list) {
      TKM_ASSIGN(AddedToken token, read_special(value, where));
      if (!seen_.insert(token.content).second) continue;
      config_.more_tokens.push_back(std::move(token));
    }
    return {};
  }

 private:
  TokenizerConfig& config_;
  std::unordered_set<std::string> seen_;
};

/// A name of the model's own, "image_token", and not a setting like add_bos_token.
bool is_own_name(std::string_view key, const Json& value) {
  return !is_common(key) && key.ends_with("_token") &&
         (value.is_string() || base::find(value, "content"));
}

Result<void> read_specials(const Json& json, const std::string& file, Names& names) {
  for (std::string_view name : kCommonNames) {
    auto value = json.find(std::string(name));
    if (value != json.end()) TKM_RETURN_IF_ERROR(names.set(std::string(name), *value, file));
  }
  for (const auto& [key, value] : json.items()) {
    if (is_own_name(key, value)) TKM_RETURN_IF_ERROR(names.set(key, value, file));
  }
  // The old name counts where the new one says nothing.
  for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
    const Json* more = base::find(json, key);
    if (!more || more->empty()) continue;
    if (more->is_array()) return names.add_more(*more, fmt::format("{}: {}", file, key));
    if (!more->is_object()) continue;
    for (const auto& [name, value] : more->items()) {
      if (!value.is_null()) TKM_RETURN_IF_ERROR(names.set(name, value, file));
    }
  }
  return {};
}

Result<void> add_by_id(const Json& id, AddedToken token, TokenizerConfig& out, std::string where) {
  if (!id.is_number_integer() || id < 0 || id >= kMaxTokens) {
    return base::corrupt(fmt::format("{}: {} is no token id", where, id.dump()));
  }
  out.added_tokens.emplace_back(id.get<TokenId>(), std::move(token));
  return {};
}

void sort_by_id(TokenizerConfig& config) {
  std::stable_sort(config.added_tokens.begin(), config.added_tokens.end(), [](auto& a, auto& b) {
    return a.first < b.first;
  });
}

/// {"50257": {"content": …}}
Result<void> read_added_tokens_decoder(const Json& added,
                                       const std::string& file,
                                       TokenizerConfig& config) {
  if (!added.is_object()) {
    return base::corrupt(fmt::format("{}: added_tokens_decoder must be an object", file));
  }
  for (const auto& [key, value] : added.items()) {
    std::string where = fmt::format("{}: added_tokens_decoder['{}']", file, key);
    TokenId id = -1;
    auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (code != std::errc() || end != key.data() + key.size()) {
      return base::corrupt(where + ": the key is no token id");
    }
    TKM_ASSIGN(AddedToken token, read_added_token(value, where));
    TKM_RETURN_IF_ERROR(add_by_id(id, std::move(token), config, std::move(where)));
  }
  sort_by_id(config);
  return {};
}

/// {"<|im_start|>": 50257}: which of them are special, the other files say.
Result<void> read_added_tokens_json(const std::filesystem::path& path, TokenizerConfig& config) {
  TKM_ASSIGN(Json added, read_json(path));
  std::unordered_set<std::string_view> special;
  for (const auto& named : config.named) special.insert(named.token.content);
  for (const AddedToken& token : config.more_tokens) special.insert(token.content);
  for (const auto& [content, id] : added.items()) {
    const bool is_special = special.contains(content);
    AddedToken token{.content = content, .normalized = !is_special, .special = is_special};
    TKM_RETURN_IF_ERROR(
        add_by_id(id, std::move(token), config, fmt::format("{}: '{}'", path.string(), content)));
  }
  sort_by_id(config);
  config.added_tokens_json = true;
  return {};
}

void read_settings(const Json& json, TokenizerConfig& config) {
  auto optional_bool = [&](std::string_view key) -> std::optional<bool> {
    const Json* value = base::find(json, key);
    return value && value->is_boolean() ? std::optional(value->get<bool>()) : std::nullopt;
  };
  config.add_bos_token = optional_bool("add_bos_token");
  config.add_eos_token = optional_bool("add_eos_token");
  config.add_prefix_space = optional_bool("add_prefix_space");
  config.split_special_tokens = optional_bool("split_special_tokens").value_or(false);
  if (const Json* name = base::find(json, "tokenizer_class"); name && name->is_string()) {
    config.tokenizer_class = name->get<std::string>();
    if (config.tokenizer_class.ends_with("Fast"))
      config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
  }
  config.legacy = optional_bool("legacy").value_or(config.tokenizer_class != "LlamaTokenizer");
}

/// What the class has where no file has said anything, then all in their order.
void add_class_tokens(TokenizerConfig& config) {
  for (const ClassToken& token : class_tokens(config.tokenizer_class)) {
    const bool is_null =
        std::find(config.unnamed.begin(), config.unnamed.end(), token.name) != config.unnamed.end();
    if (is_null || config.find(token.name)) continue;
    AddedToken added{.content = std::string(token.token), .normalized = false, .special = true};
    config.named.push_back({std::string(token.name), std::move(added), /*by_class=*/true});
  }
  auto place = [](const TokenizerConfig::Named& named) {
    return std::find(std::begin(kCommonNames), std::end(kCommonNames), named.name) -
           std::begin(kCommonNames);
  };
  std::stable_sort(config.named.begin(), config.named.end(), [&](auto& a, auto& b) {
    return place(a) < place(b);
  });
}

}  // namespace

const TokenizerConfig::Named* TokenizerConfig::find(std::string_view name) const {
  for (const Named& candidate : named) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig config;
  Names names(config);
  const std::filesystem::path path = folder / kTokenizerConfig;
  TKM_ASSIGN(Json json, read_json(path));
  read_settings(json, config);
  TKM_RETURN_IF_ERROR(read_specials(json, path.string(), names));
  if (const Json* added = base::find(json, "added_tokens_decoder")) {
    TKM_RETURN_IF_ERROR(read_added_tokens_decoder(*added, path.string(), config));
  } else {
    const std::filesystem::path map_path = folder / kSpecialTokensMap;
    TKM_ASSIGN(Json map, read_json(map_path));
    TKM_RETURN_IF_ERROR(read_specials(map, map_path.string(), names));
    TKM_RETURN_IF_ERROR(read_added_tokens_json(folder / kAddedTokens, config));
  }
  add_class_tokens(config);
  return config;
}

namespace {

/// LlamaTokenizer's names do not count where the file is byte-level: such checkpoints name a class
/// that cannot be theirs.
bool counts(const TokenizerConfig::Named& named,
            const TokenizerConfig& config,
            const Pipeline& parts) {
  return !named.by_class || !parts.byte_level || config.tokenizer_class != "LlamaTokenizer";
}

/// What only a class names becomes no new token: its id would be beyond the model's.
bool is_token(const TokenizerConfig::Named& named,
              const TokenizerConfig& config,
              const Pipeline& parts) {
  if (!counts(named, config, parts)) return false;
  return !named.by_class || parts.names.find(named.token.content);
}

/// What templates may name: what the tokenizer's own file says, then the configuration.
void apply_names(const TokenizerConfig& config, Pipeline& parts) {
  SpecialNames& names = parts.special_names;
  if (parts.bos) names.set("bos_token", parts.names.token(*parts.bos));
  if (parts.eos) names.set("eos_token", parts.names.token(*parts.eos));
  for (const std::string& name : config.unnamed) names.erase(name);
  for (const auto& named : config.named) {
    if (counts(named, config, parts)) names.set(named.name, named.token.content);
  }
  auto id_of = [&](std::string_view name) -> std::optional<TokenId> {
    const std::string* token = names.find(name);
    return token ? parts.names.find(*token) : std::nullopt;
  };
  parts.bos = id_of("bos_token");
  parts.eos = id_of("eos_token");
  for (const AddedToken& token : config.more_tokens) names.additional.push_back(token.content);
}

}  // namespace

Result<void> apply_tokens(const TokenizerConfig& config, Pipeline& parts) {
  auto is_added = [&](const std::string& content) {
    auto id = parts.names.find(content);
    return id && parts.added.decoded_form(*id);
  };
  std::unordered_set<std::string_view> special, taken;
  for (const auto& named : config.named) {
    if (is_token(named, config, parts)) special.insert(named.token.content);
  }
  std::vector<AddedToken> tokens;
  for (const auto& [id, token] : config.added_tokens) {
    if (token.content.empty()) continue;
    if (config.added_tokens_json && is_added(token.content)) continue;
    if (!parts.names.find(token.content)) parts.names.set(token.content, id);
    if (!taken.insert(token.content).second) continue;
    tokens.push_back(token);
    tokens.back().special |= special.contains(token.content);
  }
  auto add_special = [&](const AddedToken& token) {
    if (token.content.empty() || is_added(token.content)) return;
    if (taken.insert(token.content).second) tokens.push_back(token);
  };
  for (const auto& named : config.named) {
    if (is_token(named, config, parts)) add_special(named.token);
  }
  for (const AddedToken& token : config.more_tokens) add_special(token);
  TKM_RETURN_IF_ERROR(parts.added.add(std::move(tokens), parts.normalizer.get(), parts.names));
  apply_names(config, parts);
  parts.special_as_text = config.split_special_tokens;
  return {};
}

void apply_bos_and_eos(const TokenizerConfig& config, Pipeline& parts) {
  const bool has_prefix = !parts.prefix.empty();
  parts.prefix.clear();
  if (config.add_bos_token.value_or(has_prefix) && parts.bos) parts.prefix = {*parts.bos};
  if (config.add_eos_token.value_or(false) && parts.eos) parts.suffix = {*parts.eos};
}

}  // namespace tokamak::text
