// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/chat_prompt.h"

#include <algorithm>

#include "tokamak/server/chat_messages.h"
#include "tokamak/server/chat_rendering.h"
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

/// Tools that the model may only read about. To choose among none is to call none.
Result<Json> read_tools(const Json& body, ToolUse use) {
  const Json* choice = base::find(body, "tool_choice");
  const Json* tools = base::find(body, "tools");
  if (tools && !tools->is_array()) return wrong_type("tools", "a list", *tools);
  const bool some = tools && !tools->empty();
  if (use == ToolUse::kShown) return some ? *tools : Json(nullptr);
  const bool none = choice && *choice == "none";
  if (choice && !none && (some || *choice != "auto")) {
    return base::unsupported("tool_choice must be \"none\": answers are not parsed for calls");
  }
  if (!some) return Json(nullptr);
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

/// The other variables of the template; what the server sets itself, `variables` cannot.
Result<Json> read_context(const Json& body, const Model& model, ToolUse tools) {
  Json context = model.template_variables;
  TKM_RETURN_IF_ERROR(add_variables(body, context));
  TKM_ASSIGN(context["tools"], read_tools(body, tools));
  const Json* documents = base::find(body, "documents");
  if (documents && !documents->is_array()) return wrong_type("documents", "a list", *documents);
  context["documents"] = documents ? *documents : Json(nullptr);
  // Templates of models that were trained with such a setting write it into the prompt.
  FieldReader reader(body);
  for (const char* name : {"reasoning_effort", "verbosity"}) {
    std::string text;
    reader.text(name, text);
    if (!text.empty() && !context.contains(name)) context[name] = text;
  }
  TKM_RETURN_IF_ERROR(reader.status());
  return context;
}

/// A template that does not know of documents would leave them out without a word.
Result<void> check_documents(const Json& documents, const text::ChatTemplate& chat_template) {
  if (documents.empty() || chat_template.fault()) return {};
  if (chat_template.source().find("documents") != std::string::npos) return {};
  return base::unsupported("documents are not shown by the model's chat template",
                           "put them into a message");
}

/// What a template refuses, it refuses of the messages.
Error of_messages(Error error) {
  const bool named = error.message.starts_with("continue_final_message");
  if (!named) error.message = "messages: " + error.message;
  return error;
}

Result<std::string> render(const text::ChatTemplate& chat_template,
                           const Json& context,
                           const ChatMessages& messages,
                           bool continues) {
  if (!messages.renamed.empty()) {
    TKM_ASSIGN(const bool shown, shows(chat_template, context, messages.list, messages.renamed));
    if (!shown) {
      return base::invalid(
          "the chat template does not show the role 'developer', neither as such nor as 'system'");
    }
  }
  if (continues) return render_open_chat(chat_template, context, messages.list);
  return render_chat(chat_template, context, messages.list);
}

}  // namespace

Result<Prompt> chat_prompt(const Json& body,
                           const OpenAiRequest& request,
                           const Model& model,
                           ToolUse tools) {
  if (!model.chat_template) {
    return base::unsupported(fmt::format("messages: '{}' has no chat template", model.name()),
                             "use /v1/completions");
  }
  TKM_ASSIGN(Json context, read_context(body, model, tools));
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
  const text::ChatTemplate& chat_template = model.template_for(context["tools"]);
  TKM_RETURN_IF_ERROR(check_documents(context["documents"], chat_template));
  const bool developer = chat_template.source().find("developer") != std::string::npos;
  TKM_ASSIGN(ChatMessages messages, read_messages(body, developer));
  Prompt prompt;
  const Json& last = messages.list.back();
  if (request.echo && last["role"] == "assistant" && last["content"].is_string()) {
    prompt.text = last["content"].get<std::string>();
  }
  auto rendered = render(chat_template, context, messages, continues);
  if (!rendered.ok()) return of_messages(rendered.error());
  TKM_ASSIGN(
      prompt.ids,
      encode_prompt(
          model, *rendered, request.add_special_tokens, request.truncate_prompt_tokens != 0));
  return prompt;
}

}  // namespace tokamak::server
