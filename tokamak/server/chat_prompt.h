// SPDX-License-Identifier: Apache-2.0
// From the messages of a chat request to the prompt that the model's template makes of them.
#pragma once

#include "tokamak/server/openai_request.h"

namespace tokamak::server {

enum class ToolUse {
  kCalled,  ///< Answers would have to be parsed for calls: tools need tool_choice "none".
  kShown,   ///< Only the prompt is asked for.
};

/// Reads messages, tools, tool_choice, documents, chat_template_kwargs, add_generation_prompt and
/// continue_final_message. With echo, the prompt's text is that of a last message of the assistant.
/// Errors: invalid (naming the field and the message), unsupported (no template, tools that may be
/// called, content that is not text); what the template says begins with "messages".
Result<Prompt> chat_prompt(const Json& body,
                           const OpenAiRequest& request,
                           const Model& model,
                           ToolUse tools = ToolUse::kCalled);

}  // namespace tokamak::server
