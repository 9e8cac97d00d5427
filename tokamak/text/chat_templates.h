// SPDX-License-Identifier: Apache-2.0
// The chat templates that come with a checkpoint, found where transformers finds them.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "tokamak/text/chat_template.h"

namespace tokamak::text {

struct ChatTemplates {
  std::optional<ChatTemplate> chat;      ///< The only one, or the one called "default".
  std::optional<ChatTemplate> tool_use;  ///< For chats with tools, if there is one of this name.

  /// What is wrong with those that are unusable.
  std::vector<Error> faults() const;
};

/// Of a checkpoint or engine folder. chat_template.jinja and additional_chat_templates/NAME.jinja
/// come first, all of them together; then `chat_template` of tokenizer_config.json, then that of
/// chat_template.json: a text, a list of {"name", "template"}, or an object of names and texts.
/// A template that cannot be used is unusable(): it must not keep a model from completing texts.
ChatTemplates load_chat_templates(const std::filesystem::path& folder);

}  // namespace tokamak::text
