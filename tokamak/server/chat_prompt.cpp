// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/chat_prompt.h"

#include <algorithm>

#include "tokamak/server/field_reader.h"

namespace tokamak::server {
namespace {

/// What the server sets itself; a request that could would change what is rendered, or how.
constexpr std::string_view kReserved[] = {"messages",
                                          "tools",
                                          "documents",
                                          "add_generation_prompt",
                                          "continue_final_message",
                                          "tokenize",
                                          "chat_template",
                                          "conversation",
                                          "return_tensors",
                                          "return_dict"};

constexpr std::string_view kSpace = " \t\n\r\f\v";

std::string_view left_trimmed(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kSpace), text.size()));
}

std::string_view trimmed(std::string_view text) {
  text = left_trimmed(text);
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

Error bad_message(size_t index, std::string_view what) {
  return base::invalid(fmt::format("messages[{}] {}", index, what));
}

/// Templates take text: the parts of a list are joined by line breaks.
Result<Json> content_text(const Json& content, size_t index) {
  if (content.is_string() || content.is_null()) return content;
  if (!content.is_array()) return bad_message(index, "has content that is no text and no list");
  std::string text;
  for (const Json& part : content) {
    const Json* type = base::find(part, "type");
    if (!type || !type->is_string()) return bad_message(index, "has a part without a type");
    if (*type != "text") {
      return base::unsupported(
          fmt::format("messages[{}] has a part of type '{}', only text is read",
                      index,
                      type->get<std::string>().substr(0, 40)));
    }
    const Json* value = base::find(part, "text");
    if (!value || !value->is_string()) return bad_message(index, "has a text part without text");
    if (&part != &content.front()) text += '\n';
    text += value->get<std::string>();
  }
  return Json(std::move(text));
}

/// Arguments of calls come as JSON text; templates take them as values.
Result<void> parse_arguments(Json& message, size_t index) {
  auto calls = message.find("tool_calls");
  if (calls == message.end() || calls->is_null()) return {};
  if (!calls->is_array()) return bad_message(index, "has tool_calls that are no list");
  for (Json& call : *calls) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) {
      return bad_message(index, "has a tool call without a function");
    }
    Json& function = call["function"];
    auto arguments = function.find("arguments");
    if (arguments == function.end() || !arguments->is_string()) continue;
    auto parsed = base::parse_json(arguments->get<std::string>(), "arguments");
    if (!parsed.ok()) return bad_message(index, "has arguments that are not valid JSON");
    *arguments = std::move(*parsed);
  }
  return {};
}

Result<Json> read_messages(const Json& body) {
  const Json* messages = base::find(body, "messages");
  if (!messages) return base::invalid("'messages' is missing");
  if (!messages->is_array()) return wrong_type("messages", "a list", *messages);
  if (messages->empty()) return base::invalid("messages is empty, it needs at least one message");
  Json out = *messages;
  for (size_t i = 0; i < out.size(); ++i) {
    Json& message = out[i];
    if (!message.is_object()) return bad_message(i, "is no object");
    const Json* role = base::find(message, "role");
    if (!role || !role->is_string()) return bad_message(i, "has no role");
    const Json* content = base::find(message, "content");
    TKM_ASSIGN(message["content"], content_text(content ? *content : Json(nullptr), i));
    TKM_RETURN_IF_ERROR(parse_arguments(message, i));
  }
  return out;
}

/// Tools that the model may only read about.
Result<Json> read_tools(const Json& body) {
  const Json* choice = base::find(body, "tool_choice");
  const Json* tools = base::find(body, "tools");
  const bool none = choice && *choice == "none";
  if (choice && !none) {
    return base::unsupported("tool_choice must be \"none\": answers are not parsed for calls");
  }
  if (!tools || (tools->is_array() && tools->empty())) return Json(nullptr);
  if (!tools->is_array()) return wrong_type("tools", "a list", *tools);
  if (!none) {
    return base::unsupported("tools cannot be called here",
                             "send tool_choice \"none\" to show them to the model only");
  }
  return *tools;
}

Result<void> add_variables(const Json& body, Json& context) {
  const Json* variables = base::find(body, "chat_template_kwargs");
  if (!variables) return {};
  if (!variables->is_object()) return wrong_type("chat_template_kwargs", "an object", *variables);
  for (const auto& [name, value] : variables->items()) {
    if (std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved)) {
      return base::invalid(fmt::format("chat_template_kwargs may not set '{}'", name));
    }
    context[name] = value;
  }
  return {};
}

/// Cuts the rendered chat behind the text of its last message, so that the answer goes on with it.
/// The end is that of the text as it stands in the chat: with its own spaces, if the template kept
/// them.
Result<std::string> cut_behind(const std::string& rendered, const std::string& last) {
  const std::string_view core = trimmed(last);
  const size_t begin = rendered.rfind(core);
  if (begin == std::string::npos) {
    return base::invalid(
        "continue_final_message: the chat template leaves the last message's text out");
  }
  const std::string_view with_spaces = left_trimmed(last);
  const bool kept = rendered.compare(begin, with_spaces.size(), with_spaces) == 0;
  return rendered.substr(0, begin + (kept ? with_spaces.size() : core.size()));
}

}  // namespace

Result<Prompt> chat_prompt(const Json& body, const OpenAiRequest& request, const Model& model) {
  if (!model.chat_template) {
    return base::unsupported(fmt::format("messages: '{}' has no chat template", model.name()),
                             "use /v1/completions");
  }
  Json context = model.template_variables;
  TKM_RETURN_IF_ERROR(add_variables(body, context));
  TKM_ASSIGN(Json messages, read_messages(body));
  TKM_ASSIGN(context["tools"], read_tools(body));
  const Json* documents = base::find(body, "documents");
  if (documents && !documents->is_array()) return wrong_type("documents", "a list", *documents);
  context["documents"] = documents ? *documents : Json(nullptr);
  bool continues = false;
  FieldReader reader(body);
  reader.boolean("continue_final_message", continues);
  bool opens = !continues;
  reader.boolean("add_generation_prompt", opens);
  TKM_RETURN_IF_ERROR(reader.status());
  if (continues && opens) {
    return base::invalid("continue_final_message and add_generation_prompt exclude each other");
  }
  context["add_generation_prompt"] = opens;
  const Json& last = messages.back();
  const bool last_is_text = last["content"].is_string();
  Prompt prompt;
  if (request.echo && last["role"] == "assistant" && last_is_text) {
    prompt.text = last["content"].get<std::string>();
  }
  const std::string last_text = last_is_text ? last["content"].get<std::string>() : "";
  if (continues && trimmed(last_text).empty()) {
    return base::invalid("continue_final_message: the last message has no text");
  }
  context["messages"] = std::move(messages);
  TKM_ASSIGN(std::string rendered, model.template_for(context["tools"]).render(context));
  if (continues) {
    TKM_ASSIGN(rendered, cut_behind(rendered, last_text));
  }
  TKM_ASSIGN(prompt.ids, encode(model, rendered, request.add_special_tokens));
  return prompt;
}

}  // namespace tokamak::server
