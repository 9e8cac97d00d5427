// SPDX-License-Identifier: Apache-2.0
// What the server serves: an executor and what turns requests into its tokens and back.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tokamak/base/json.h"
#include "tokamak/executor/executor.h"
#include "tokamak/text/chat_template.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::server {

/// Immutable once it is served; the executor may be called from any thread.
struct Model {
  std::vector<std::string> names;  ///< What clients call it; the first is its own name.
  std::shared_ptr<executor::Executor> executor;
  std::shared_ptr<const text::Tokenizer> tokenizer;  ///< Null: token ids only.
  std::optional<text::ChatTemplate> chat_template;
  std::optional<text::ChatTemplate>
      tool_template;                         ///< For chats with tools, if they have their own.
  Json template_variables = Json::object();  ///< bos_token, eos_token, …
  runtime::SamplingParams defaults;  ///< Of the model's generation_config.json, where a request
                                     ///< says nothing.
  std::optional<int64_t> default_max_tokens;  ///< Its max_new_tokens, in the same way.
  std::time_t created = 0;
  std::string target;  ///< "cpu", for metadata.
  /// Stands for model, engine and version: answers of equal fingerprints can be compared.
  std::string fingerprint = "fp_unknown";

  const std::string& name() const { return names.front(); }
  bool serves(std::string_view name) const {
    return std::find(names.begin(), names.end(), name) != names.end();
  }
  /// The template of a chat with these tools (null: without); there must be one at all.
  const text::ChatTemplate& template_for(const Json& tools) const {
    return tool_template && !tools.is_null() ? *tool_template : *chat_template;
  }
  const runtime::SessionInfo& info() const { return executor->session_info(); }
};

}  // namespace tokamak::server
