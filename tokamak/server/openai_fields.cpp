// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openai_fields.h"

namespace tokamak::server {
namespace {

bool never(const Json&) {
  return false;
}
bool is_false(const Json& value) {
  return value == false;
}
bool is_true(const Json& value) {
  return value == true;
}
bool is_one(const Json& value) {
  return value == 1;
}
bool is_empty(const Json& value) {
  return (value.is_array() || value.is_object() || value.is_string()) && value.empty();
}
bool is_none(const Json& value) {
  return value == "none";
}
bool is_auto(const Json& value) {
  return value == "auto" || value == "default";
}
bool is_plain_text(const Json& value) {
  return value.is_object() && value.size() == 1 && value.contains("type") &&
         value["type"] == "text";
}
bool is_text_only(const Json& value) {
  return value == Json::array({"text"});
}

constexpr bool kYes = true, kNo = false;
constexpr std::string_view kNoGrammar = "answers cannot be constrained by a grammar here";
constexpr std::string_view kNoTools = "send tool_choice \"none\" to show tools to the model only";

constexpr FieldRule kRules[] = {
    // Core.
    {"model", kYes, kYes},
    {"prompt", kYes, kNo},
    {"messages", kNo, kYes},
    {"stream", kYes, kYes},
    {"stream_options", kYes, kYes},
    {"n", kYes, kYes},
    {"best_of", kYes, kNo},
    {"echo", kYes, kYes},
    {"seed", kYes, kYes},
    {"stop", kYes, kYes},
    // Length.
    {"max_tokens", kYes, kYes},
    {"max_completion_tokens", kNo, kYes},
    {"min_tokens", kYes, kYes},
    {"ignore_eos", kYes, kYes},
    {"truncate_prompt_tokens", kYes, kYes},
    // Sampling.
    {"temperature", kYes, kYes},
    {"top_p", kYes, kYes},
    {"top_k", kYes, kYes},
    {"min_p", kYes, kYes},
    {"frequency_penalty", kYes, kYes},
    {"presence_penalty", kYes, kYes},
    {"repetition_penalty", kYes, kYes},
    {"length_penalty", kYes, kYes, Use::kRefused, is_one, "there is no beam search"},
    {"use_beam_search", kYes, kYes, Use::kRefused, is_false, "there is no beam search"},
    {"early_stopping", kYes, kYes, Use::kRefused, is_false, "there is no beam search"},
    // What may be said, and how it ends.
    {"logit_bias", kYes, kYes},
    {"allowed_token_ids", kYes, kYes},
    {"bad_words", kYes, kYes},
    {"stop_token_ids", kYes, kYes},
    {"include_stop_str_in_output", kYes, kYes},
    {"skip_special_tokens", kYes, kYes},
    {"spaces_between_special_tokens",
     kYes,
     kYes,
     Use::kRefused,
     is_true,
     "spaces stay as they are"},
    // Logprobs.
    {"logprobs", kYes, kYes},
    {"top_logprobs", kNo, kYes},
    {"prompt_logprobs", kYes, kYes},
    {"return_tokens_as_token_ids", kYes, kYes},
    {"return_token_ids", kYes, kYes},
    {"logprob_token_ids", kYes, kYes, Use::kRefused, is_empty, "ask for logprobs instead"},
    // Template.
    {"add_special_tokens", kYes, kYes},
    {"add_generation_prompt", kNo, kYes},
    {"continue_final_message", kNo, kYes},
    {"chat_template_kwargs", kNo, kYes},
    {"documents", kNo, kYes},
    {"chat_template", kNo, kYes, Use::kRefused, never, "the model's own template is used"},
    {"mm_processor_kwargs", kYes, kYes, Use::kRefused, is_empty, "this model reads text only"},
    {"media_io_kwargs", kNo, kYes, Use::kRefused, is_empty, "this model reads text only"},
    {"modalities", kNo, kYes, Use::kRefused, is_text_only, "this model writes text only"},
    {"audio", kNo, kYes, Use::kRefused, never, "this model writes text only"},
    {"prediction", kNo, kYes, Use::kRefused, never, ""},
    {"suffix", kYes, kNo, Use::kRefused, is_empty, "put the text behind it into the prompt"},
    {"prompt_embeds", kYes, kNo, Use::kRefused, is_empty, "send text or token ids"},
    // Tools and formats.
    {"tools", kNo, kYes},
    {"tool_choice", kNo, kYes},
    {"parallel_tool_calls", kNo, kYes, Use::kNoEffect},
    {"functions", kNo, kYes, Use::kRefused, is_empty, kNoTools},
    {"function_call", kNo, kYes, Use::kRefused, is_none, kNoTools},
    {"response_format", kYes, kYes, Use::kRefused, is_plain_text, kNoGrammar},
    {"structured_outputs", kYes, kYes, Use::kRefused, is_empty, kNoGrammar},
    {"guided_json", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"guided_regex", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"guided_choice", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"guided_grammar", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"guided_decoding_backend", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"guided_whitespace_pattern", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"regex", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"ebnf", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"grammar", kYes, kYes, Use::kRefused, never, kNoGrammar},
    {"json_schema", kYes, kYes, Use::kRefused, never, kNoGrammar},
    // Reasoning.
    {"reasoning_effort", kNo, kYes, Use::kRefused, is_none, "use chat_template_kwargs"},
    {"include_reasoning", kNo, kYes, Use::kRefused, is_true, "reasoning stays part of the answer"},
    {"thinking_token_budget", kNo, kYes, Use::kRefused, never, "use max_tokens"},
    // Operations.
    {"priority", kYes, kYes},
    {"request_id", kYes, kYes},
    {"cache_salt", kYes, kYes},
    {"kv_transfer_params", kYes, kYes, Use::kRefused, is_empty, ""},
    {"lora_request", kYes, kYes, Use::kRefused, never, "adapters cannot be loaded"},
    {"lora_path", kYes, kYes, Use::kRefused, never, "adapters cannot be loaded"},
    {"lora", kYes, kYes, Use::kRefused, is_empty, "adapters cannot be loaded"},
    {"logits_processors", kYes, kYes, Use::kRefused, is_empty, "no code is taken from requests"},
    {"custom_logit_processor", kYes, kYes, Use::kRefused, never, "no code is taken from requests"},
    {"store", kNo, kYes, Use::kRefused, is_false, "answers are not kept"},
    {"service_tier", kNo, kYes, Use::kRefused, is_auto, "there is one tier"},
    {"web_search_options", kNo, kYes, Use::kRefused, never, ""},
    {"user", kYes, kYes, Use::kNoEffect},
    {"metadata", kNo, kYes, Use::kNoEffect},
    {"safety_identifier", kNo, kYes, Use::kNoEffect},
    {"prompt_cache_key", kNo, kYes, Use::kNoEffect},
};

const FieldRule* rule_of(std::string_view name, Endpoint endpoint) {
  for (const FieldRule& rule : kRules) {
    if (rule.name == name && (endpoint == Endpoint::kChat ? rule.chat : rule.completions)) {
      return &rule;
    }
  }
  return nullptr;
}

}  // namespace

std::span<const FieldRule> field_rules() {
  return kRules;
}

Result<int64_t> check_fields(const Json& body, Endpoint endpoint, bool strict) {
  int64_t unknown = 0;
  for (const auto& [name, value] : body.items()) {
    const FieldRule* rule = rule_of(name, endpoint);
    if (!rule) {
      if (strict) {
        return base::invalid(fmt::format("'{}' is no field of this endpoint", name.substr(0, 80)),
                             "leave it out, or start the server without --strict-fields");
      }
      ++unknown;
      continue;
    }
    if (rule->use != Use::kRefused || value.is_null() || rule->asks_for_nothing(value)) continue;
    return base::unsupported(fmt::format("'{}' is not supported", name), std::string(rule->hint));
  }
  return unknown;
}

}  // namespace tokamak::server
