// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/chat_templates.h"

#include "tokamak/base/file.h"
#include "tokamak/base/json.h"
#include "tokamak/text/files.h"

namespace tokamak::text {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxBytes = uint64_t{64} << 20;
constexpr std::string_view kDefault = "default", kToolUse = "tool_use";

/// Templates by name, before they are parsed.
struct Sources {
  struct Named {
    std::string name, where;
    Result<std::string> text;
  };
  std::string where;  ///< What all of them come from.
  std::vector<Named> list;

  void add(std::string_view name, Result<std::string> text) {
    list.push_back({std::string(name), where, std::move(text)});
  }
  /// The last of that name.
  const Named* find(std::string_view name) const {
    for (size_t i = list.size(); i-- > 0;) {
      if (list[i].name == name) return &list[i];
    }
    return nullptr;
  }
};

/// Whoever wants a chat is told all of it: it is in the checkpoint, and no secret.
ChatTemplate unusable(std::string_view where, const Error& error) {
  return ChatTemplate::unusable(base::unsupported(
      fmt::format("chat template of {} cannot be used: {}", where, error.message), error.hint));
}

std::optional<ChatTemplate> parse(const Sources& sources, std::string_view name) {
  const Sources::Named* named = sources.find(name);
  if (!named) return {};
  if (!named->text.ok()) return unusable(named->where, named->text.error());
  auto parsed = ChatTemplate::parse(*named->text);
  return parsed.ok() ? *parsed : unusable(named->where, parsed.error());
}

ChatTemplates parse_all(const Sources& sources) {
  const Sources::Named* chat = sources.find(kDefault);
  if (chat && chat->text.ok() && chat->text->empty()) return {};
  ChatTemplates out;
  out.chat = parse(sources, kDefault);
  out.tool_use = parse(sources, kToolUse);
  if (out.chat) return out;
  std::string names;
  for (const auto& named : sources.list) names += (names.empty() ? "'" : ", '") + named.name + "'";
  out.chat = unusable(sources.where,
                      base::invalid(fmt::format("none is named 'default' (there {})",
                                                names.empty() ? "are none" : "is " + names)));
  return out;
}

std::optional<Sources> from_files(const fs::path& folder) {
  Sources sources{.where = std::string(kMoreChatTemplates), .list = {}};
  auto add = [&](std::string_view name, const fs::path& path) {
    sources.list.push_back(
        {std::string(name), path.string(), base::read_file(folder / path, kMaxBytes)});
  };
  std::error_code ignored;
  if (fs::exists(folder / kChatTemplate, ignored)) add(kDefault, kChatTemplate);
  for (const std::string& name : more_chat_templates(folder))
    add(name, fs::path(kMoreChatTemplates) / (name + ".jinja"));
  if (sources.list.empty()) return {};
  return sources;
}

Sources from_value(const Json& value, std::string where) {
  Sources sources{.where = std::move(where), .list = {}};
  auto add = [&](const Json* name, const Json* text) {
    if (!name || !name->is_string() || !text || !text->is_string()) return;
    sources.add(name->get_ref<const std::string&>(), text->get<std::string>());
  };
  if (value.is_string()) sources.add(kDefault, value.get<std::string>());
  if (value.is_array()) {
    for (const Json& named : value) add(base::find(named, "name"), base::find(named, "template"));
  }
  if (value.is_object()) {
    for (const auto& [key, text] : value.items()) {
      const Json name = key;
      add(&name, &text);
    }
  }
  return sources;
}

/// `chat_template` of a JSON file; none if it has none.
std::optional<Sources> from_json(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  auto broken = [&](const Error& error) {
    Sources sources{.where = path.filename().string(), .list = {}};
    sources.add(kDefault, error);
    return sources;
  };
  auto content = base::read_file(path, kMaxBytes);
  if (!content.ok()) return broken(content.error());
  auto json = base::parse_json(*content, path.string());
  if (!json.ok()) return broken(json.error());
  const Json* value = base::find(*json, "chat_template");
  if (!value) return {};
  return from_value(*value, path.filename().string());
}

}  // namespace

std::vector<Error> ChatTemplates::faults() const {
  std::vector<Error> faults;
  for (const auto* one : {&chat, &tool_use}) {
    if (*one && (*one)->fault()) faults.push_back(*(*one)->fault());
  }
  return faults;
}

ChatTemplates load_chat_templates(const fs::path& folder) {
  std::optional<Sources> sources = from_files(folder);
  if (!sources) sources = from_json(folder / kTokenizerConfig);
  if (!sources) sources = from_json(folder / kChatTemplateJson);
  return sources ? parse_all(*sources) : ChatTemplates{};
}

}  // namespace tokamak::text
