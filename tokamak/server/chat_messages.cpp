// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/chat_messages.h"

#include <algorithm>
#include <iterator>

#include "tokamak/server/field_reader.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";

Error bad_message(size_t index, std::string_view what) {
  return base::invalid(fmt::format("messages[{}] {}", index, what));
}

/// A part of content: OpenAI has the words of a refusal in a type of their own.
Result<std::string> part_text(const Json& part, size_t index) {
  const Json* type = base::find(part, "type");
  if (!type || !type->is_string()) return bad_message(index, "has a part without a type");
  if (*type != "text" && *type != "refusal") {
    return base::unsupported(fmt::format("messages[{}] has a part of type '{}', only text is read",
                                         index,
                                         type->get<std::string>().substr(0, 40)));
  }
  const Json* value = base::find(part, type->get<std::string>());
  if (!value || !value->is_string()) {
    return bad_message(index, fmt::format("has a {0} part without {0}", type->get<std::string>()));
  }
  return value->get<std::string>();
}

/// Templates take text: the parts of a list are joined by line breaks.
Result<Json> content_text(const Json& content, size_t index) {
  if (content.is_string()) return content;
  if (!content.is_array()) return bad_message(index, "has content that is no text and no list");
  std::string text;
  for (const Json& part : content) {
    TKM_ASSIGN(std::string words, part_text(part, index));
    if (&part != &content.front()) text += '\n';
    text += words;
  }
  return Json(std::move(text));
}

Result<void> check_calls(const Json& message, size_t index) {
  const Json* calls = base::find(message, "tool_calls");
  if (!calls) return {};
  if (!calls->is_array()) return bad_message(index, "has tool_calls that are no list");
  for (const Json& call : *calls) {
    const Json* function = base::find(call, "function");
    if (!function || !function->is_object()) {
      return bad_message(index, "has a tool call without a function");
    }
    const Json* arguments = base::find(*function, "arguments");
    if (arguments && !arguments->is_string() && !arguments->is_object()) {
      return bad_message(index, "has arguments of a tool call that are no text and no object");
    }
  }
  return {};
}

/// Without content, what counts is what else a message is for: calling tools, or refusing.
Result<Json> content_of(const Json& message, size_t index) {
  const Json* content = base::find(message, "content");
  Json text = nullptr;
  if (content) {
    TKM_ASSIGN(text, content_text(*content, index));
  }
  if (const Json* refusal = base::find(message, "refusal")) {
    if (!refusal->is_string()) return bad_message(index, "has a refusal that is no text");
    const bool alone = text.is_null() || text == "";
    return alone ? *refusal : Json(text.get<std::string>() + '\n' + refusal->get<std::string>());
  }
  const Json* calls = base::find(message, "tool_calls");
  return text.is_null() && !(calls && !calls->empty()) ? Json("") : text;
}

Result<Json> read_message(const Json& message, size_t index) {
  if (!message.is_object()) return bad_message(index, "is no object");
  const Json* role = base::find(message, "role");
  if (!role || !role->is_string()) return bad_message(index, "has no role");
  TKM_RETURN_IF_ERROR(check_calls(message, index));
  for (std::string_view refused : {"function_call", "audio"}) {
    if (!base::find(message, refused)) continue;
    return base::unsupported(
        fmt::format("messages[{}] has a member '{}', which is not read", index, refused),
        refused == "audio" ? "" : "send tool_calls");
  }
  TKM_ASSIGN(Json content, content_of(message, index));
  Json::object_t out;  // In the order of the message; its members differ already.
  for (const auto& [name, value] : message.items()) {
    if (name == "content") {
      out.push_back({name, content});
    } else if (!value.is_null() && name != "refusal" && !(name == "tool_calls" && value.empty())) {
      out.push_back({name, value});
    }
  }
  if (!message.contains("content")) out.push_back({"content", std::move(content)});
  return Json(std::move(out));
}

Json formed(const Json& arguments, Arguments form) {
  if (arguments.is_object()) return form == Arguments::kTexts ? Json(arguments.dump()) : arguments;
  const std::string text = arguments.is_string() ? arguments.get<std::string>() : "";
  const bool nothing = text.find_first_not_of(kSpace) == std::string::npos;
  if (form == Arguments::kTexts) return nothing ? "{}" : text;
  auto parsed = nothing ? Result<Json>(Json::object()) : base::parse_json(text, "arguments");
  if (parsed.ok() && parsed->is_null()) return Json::object();
  if (parsed.ok() && (parsed->is_object() || form == Arguments::kValues)) return *parsed;
  return form == Arguments::kObjects ? Json::object() : Json(text);
}

/// Those of OpenAI's messages, of the answers that clients send back, and of reasoning models. A
/// template may read any other.
constexpr std::string_view kMembers[] = {"role",
                                         "content",
                                         "name",
                                         "tool_calls",
                                         "tool_call_id",
                                         "reasoning_content",
                                         "reasoning",
                                         "refusal",
                                         "annotations",
                                         "audio",
                                         "function_call"};

}  // namespace

std::vector<std::string> unknown_members(const Json& messages) {
  std::vector<std::string> unknown;
  if (!messages.is_array()) return unknown;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].is_object()) continue;
    for (const auto& [name, value] : messages[i].items()) {
      if (std::find(std::begin(kMembers), std::end(kMembers), name) != std::end(kMembers)) continue;
      unknown.push_back(fmt::format("messages[{}].{}", i, name.substr(0, 80)));
    }
  }
  return unknown;
}

Result<ChatMessages> read_messages(const Json& body, bool knows_developer) {
  const Json* messages = base::find(body, "messages");
  if (!messages) return base::invalid("'messages' is missing");
  if (!messages->is_array()) return wrong_type("messages", "a list", *messages);
  if (messages->empty()) return base::invalid("messages is empty, it needs at least one message");
  ChatMessages out;
  for (size_t i = 0; i < messages->size(); ++i) {
    TKM_ASSIGN(Json message, read_message((*messages)[i], i));
    if (message["role"] == "developer" && !knows_developer) {
      message["role"] = "system";
      out.renamed.push_back(i);
    }
    out.list.push_back(std::move(message));
  }
  return out;
}

Json with_arguments(const Json& messages, Arguments form) {
  Json out = messages;
  for (Json& message : out) {
    if (!message.contains("tool_calls")) continue;
    for (Json& call : message["tool_calls"]) {
      Json& function = call["function"];
      const Json* arguments = base::find(function, "arguments");
      function["arguments"] = formed(arguments ? *arguments : Json(nullptr), form);
    }
  }
  return out;
}

Json with_bare_calls(const Json& messages) {
  Json out = messages;
  for (Json& message : out) {
    if (!message.contains("tool_calls")) continue;
    for (Json& call : message["tool_calls"])
      call["function"] = {{"name", "f"}, {"arguments", "{}"}};
  }
  return out;
}

bool have_calls(const Json& messages) {
  for (const Json& message : messages) {
    if (message.contains("tool_calls")) return true;
  }
  return false;
}

bool have_silent_calls(const Json& messages) {
  for (const Json& message : messages) {
    if (message["content"].is_null()) return true;
  }
  return false;
}

Json with_words(const Json& messages) {
  Json out = messages;
  for (Json& message : out) {
    if (message["content"].is_null()) message["content"] = "";
  }
  return out;
}

}  // namespace tokamak::server
