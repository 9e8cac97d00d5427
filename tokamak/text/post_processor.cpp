// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/post_processor.h"

#include "tokamak/text/token_table.h"

namespace tokamak::text {
namespace {

/// Of published files two or three; all of them go with every text.
constexpr size_t kMostIds = 1024;

Result<TokenId> checked_id(const Json* value, const Component& component, std::string_view key) {
  if (!value || !value->is_number_integer()) return component.corrupt(key, "must be a token id");
  auto id = value->get<int64_t>();
  if (id < 0 || id >= kMaxTokens) {
    return component.corrupt(key, fmt::format("{} is not in [0, {})", id, kMaxTokens));
  }
  return static_cast<TokenId>(id);
}

/// The ids of a special token of TemplateProcessing.
Result<std::vector<TokenId>> template_ids(const Component& component, const std::string& name) {
  const Json* tokens = component.find("special_tokens");
  const Json* token = tokens ? base::find(*tokens, name) : nullptr;
  const Json* list = token ? base::find(*token, "ids") : nullptr;
  if (!list || !list->is_array()) {
    return component.corrupt("special_tokens", fmt::format("has no ids of '{}'", name));
  }
  std::vector<TokenId> ids;
  for (const Json& value : *list) {
    TKM_ASSIGN(TokenId id, checked_id(&value, component, "special_tokens"));
    ids.push_back(id);
  }
  return ids;
}

Result<void> check_count(const PostProcessor& made, const Component& component) {
  size_t count = made.prefix.size() + made.suffix.size();
  if (count <= kMostIds) return {};
  return base::corrupt(
      fmt::format("{} puts over {} ids around a text", component.where(), kMostIds));
}

Result<PostProcessor> make_template(const Component& component) {
  const Json* single = component.find("single");
  if (!single || !single->is_array()) return component.corrupt("single", "must be a list");
  if (single->size() > kMostIds) {
    return component.corrupt(
        "single", fmt::format("has {} pieces, the limit is {}", single->size(), kMostIds));
  }
  PostProcessor made;
  bool seen_text = false;
  for (const Json& piece : *single) {
    const Json* sequence = base::find(piece, "Sequence");
    const Json* special = base::find(piece, "SpecialToken");
    const Json* name = base::find(sequence ? *sequence : special ? *special : piece, "id");
    if (!name || !name->is_string()) {
      return component.corrupt("single", "must hold Sequence and SpecialToken pieces with an id");
    }
    if (sequence) {
      if (seen_text || *name != "A") {
        return component.corrupt("single", "must hold the sequence A once");
      }
      seen_text = true;
      continue;
    }
    TKM_ASSIGN(auto ids, template_ids(component, name->get<std::string>()));
    auto& side = seen_text ? made.suffix : made.prefix;
    side.insert(side.end(), ids.begin(), ids.end());
    TKM_RETURN_IF_ERROR(check_count(made, component));
  }
  if (!seen_text) return component.corrupt("single", "must hold the sequence A once");
  return made;
}

/// ["<s>", 0]
Result<TokenId> pair_id(const Component& component, std::string_view key) {
  const Json* pair = component.find(key);
  if (!pair || !pair->is_array() || pair->size() != 2) {
    return component.corrupt(key, "must be a token and its id");
  }
  return checked_id(&(*pair)[1], component, key);
}

}  // namespace

Result<PostProcessor> make_post_processor(const Component& component) {
  const std::string& type = component.type();
  if (type == "ByteLevel") return PostProcessor{};
  if (type == "TemplateProcessing") return make_template(component);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    TKM_ASSIGN(TokenId cls, pair_id(component, "cls"));
    TKM_ASSIGN(TokenId sep, pair_id(component, "sep"));
    return PostProcessor{{cls}, {sep}};
  }
  if (type == "Sequence") {
    TKM_ASSIGN(auto parts, component.get_components("processors"));
    PostProcessor all;
    for (const Component& part : parts) {
      TKM_ASSIGN(PostProcessor outer, make_post_processor(part));
      all.prefix.insert(all.prefix.begin(), outer.prefix.begin(), outer.prefix.end());
      all.suffix.insert(all.suffix.end(), outer.suffix.begin(), outer.suffix.end());
      TKM_RETURN_IF_ERROR(check_count(all, part));
    }
    return all;
  }
  return component.unsupported_type("post processor");
}

}  // namespace tokamak::text
