// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openai_fields.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "tokamak/base/json.h"
#include "tokamak/server/chat_messages.h"

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
bool is_empty(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  // Clients that send every member send null for those that are not meant.
  auto is_null = [](const Json& member) { return member.is_null(); };
  if (value.is_object()) return std::all_of(value.begin(), value.end(), is_null);
  return value.is_array() && value.empty();
}
/// There are no functions to choose from.
bool calls_none(const Json& value) {
  return value == "none" || value == "auto";
}
bool is_plain_text(const Json& value) {
  if (!value.is_object() || !value.contains("type") || value["type"] != "text") return false;
  return std::count_if(
             value.begin(), value.end(), [](const Json& member) { return !member.is_null(); }) == 1;
}
bool is_text_only(const Json& value) {
  return value == Json::array({"text"});
}

constexpr bool kYes = true, kNo = false;
constexpr std::string_view kNoGrammar = "answers cannot be constrained by a grammar here";
constexpr std::string_view kGrammars = "only a grammar reads it, and those are refused";
constexpr std::string_view kNoTools = "send tool_choice \"none\" to show tools to the model only";
constexpr std::string_view kNoBeams = "there is no beam search";
constexpr std::string_view kBeams = "only beam search reads it, and use_beam_search is refused";
constexpr std::string_view kTextIn = "this model reads text only";
constexpr std::string_view kTextOut = "this model writes text only";
constexpr std::string_view kNoAdapters = "adapters cannot be loaded";
constexpr std::string_view kNoCode = "no code is taken from requests";
constexpr std::string_view kClients = "it is for the client's own bookkeeping";

constexpr ValueKind kAny{}, kBoolean{ValueKind::kBoolean}, kText{ValueKind::kText};
constexpr ValueKind kTexts{ValueKind::kTexts}, kIds{ValueKind::kIds}, kObject{ValueKind::kObject};
constexpr ValueKind kList{ValueKind::kList};
constexpr ValueKind integer(double low) {
  return {ValueKind::kInteger, low};
}
constexpr ValueKind integer(double low, double high) {
  return {ValueKind::kInteger, low, high};
}
constexpr ValueKind number(double low, double high) {
  return {ValueKind::kNumber, low, high};
}

constexpr FieldRule kRules[] = {
    // Core.
    {"model", kYes, kYes, kText},
    {"prompt", kYes, kNo, kAny},
    {"messages", kNo, kYes, kList},
    {"stream", kYes, kYes, kBoolean},
    {"stream_options", kYes, kYes, kObject},
    {"n", kYes, kYes, integer(1, 128)},
    {"best_of", kYes, kNo, integer(0, 128)},
    {"echo", kYes, kYes, kBoolean},
    {"seed", kYes, kYes, integer(-9.2e18, 1.8e19)},
    {"stop", kYes, kYes, kTexts},
    // Length.
    {"max_tokens", kYes, kYes, integer(0)},
    {"max_completion_tokens", kNo, kYes, integer(0)},
    {"min_tokens", kYes, kYes, integer(0)},
    {"ignore_eos", kYes, kYes, kBoolean},
    {"truncate_prompt_tokens", kYes, kYes, integer(-1)},
    // Sampling.
    {"temperature", kYes, kYes, number(0, 100)},
    {"top_p", kYes, kYes, number(0, 1)},
    {"top_k", kYes, kYes, integer(-1)},
    {"min_p", kYes, kYes, number(0, 1)},
    {"frequency_penalty", kYes, kYes, number(-2, 2)},
    {"presence_penalty", kYes, kYes, number(-2, 2)},
    {"repetition_penalty", kYes, kYes, number(0.001, 100)},
    {"use_beam_search", kYes, kYes, kAny, Use::kRefused, is_false, kNoBeams},
    {"length_penalty", kYes, kYes, kAny, Use::kNoEffect, nullptr, kBeams},
    {"early_stopping", kYes, kYes, kAny, Use::kNoEffect, nullptr, kBeams},
    // What may be said, and how it ends.
    {"logit_bias", kYes, kYes, kObject},
    {"allowed_token_ids", kYes, kYes, kIds},
    {"bad_words", kYes, kYes, kTexts},
    {"stop_token_ids", kYes, kYes, kIds},
    {"include_stop_str_in_output", kYes, kYes, kBoolean},
    {"skip_special_tokens", kYes, kYes, kBoolean},
    {"spaces_between_special_tokens",
     kYes,
     kYes,
     kAny,
     Use::kRefused,
     is_true,
     "spaces stay as they are"},
    // Logprobs.
    {"logprobs", kYes, kYes, kAny},
    {"top_logprobs", kNo, kYes, integer(0, 20)},
    {"prompt_logprobs", kYes, kYes, integer(0, 20)},
    {"return_tokens_as_token_ids", kYes, kYes, kBoolean},
    {"return_token_ids", kYes, kYes, kBoolean},
    {"logprob_token_ids", kYes, kYes, kIds},
    // Template.
    {"add_special_tokens", kYes, kYes, kBoolean},
    {"add_generation_prompt", kNo, kYes, kBoolean},
    {"continue_final_message", kNo, kYes, kBoolean},
    {"chat_template_kwargs", kNo, kYes, kObject},
    {"documents", kNo, kYes, kList},
    {"reasoning_effort", kNo, kYes, kText},
    {"verbosity", kNo, kYes, kText},
    {"chat_template", kNo, kYes, kAny, Use::kRefused, never, "the model's own template is used"},
    {"mm_processor_kwargs", kYes, kYes, kAny, Use::kRefused, is_empty, kTextIn},
    {"media_io_kwargs", kNo, kYes, kAny, Use::kRefused, is_empty, kTextIn},
    {"modalities", kNo, kYes, kAny, Use::kRefused, is_text_only, kTextOut},
    {"audio", kNo, kYes, kAny, Use::kRefused, never, kTextOut},
    {"suffix", kYes, kNo, kAny, Use::kRefused, is_empty, "put the text behind it into the prompt"},
    {"prompt_embeds", kYes, kNo, kAny, Use::kRefused, is_empty, "send text or token ids"},
    // Tools and formats.
    {"tools", kNo, kYes, kList},
    {"tool_choice", kNo, kYes, kAny},
    {"parallel_tool_calls", kNo, kYes, kAny, Use::kNoEffect, nullptr, "no tools are called"},
    {"functions", kNo, kYes, kAny, Use::kRefused, is_empty, kNoTools},
    {"function_call", kNo, kYes, kAny, Use::kRefused, calls_none, kNoTools},
    {"response_format", kYes, kYes, kAny, Use::kRefused, is_plain_text, kNoGrammar},
    {"structured_outputs", kYes, kYes, kAny, Use::kRefused, is_empty, kNoGrammar},
    {"guided_json", kYes, kYes, kAny, Use::kRefused, never, kNoGrammar},
    {"guided_regex", kYes, kYes, kAny, Use::kRefused, never, kNoGrammar},
    {"guided_choice", kYes, kYes, kAny, Use::kRefused, never, kNoGrammar},
    {"guided_grammar", kYes, kYes, kAny, Use::kRefused, never, kNoGrammar},
    {"guided_decoding_backend", kYes, kYes, kAny, Use::kNoEffect, nullptr, kGrammars},
    {"guided_whitespace_pattern", kYes, kYes, kAny, Use::kNoEffect, nullptr, kGrammars},
    {"regex", kYes, kYes, kAny, Use::kRefused, never, kNoGrammar},
    {"ebnf", kYes, kYes, kAny, Use::kRefused, never, kNoGrammar},
    {"grammar", kYes, kYes, kAny, Use::kRefused, never, kNoGrammar},
    {"json_schema", kYes, kYes, kAny, Use::kRefused, never, kNoGrammar},
    // Reasoning.
    {"include_reasoning",
     kNo,
     kYes,
     kAny,
     Use::kRefused,
     is_true,
     "reasoning stays part of the answer"},
    {"thinking_token_budget", kNo, kYes, kAny, Use::kRefused, never, "use max_tokens"},
    // Operations.
    {"priority", kYes, kYes, integer(-100, 100)},
    {"request_id", kYes, kYes, kText},
    {"cache_salt", kYes, kYes, kText},
    {"kv_transfer_params", kYes, kYes, kAny, Use::kRefused, is_empty, ""},
    {"lora_request", kYes, kYes, kAny, Use::kRefused, never, kNoAdapters},
    {"lora_path", kYes, kYes, kAny, Use::kRefused, never, kNoAdapters},
    {"lora", kYes, kYes, kAny, Use::kRefused, is_empty, kNoAdapters},
    {"logits_processors", kYes, kYes, kAny, Use::kRefused, is_empty, kNoCode},
    {"custom_logit_processor", kYes, kYes, kAny, Use::kRefused, never, kNoCode},
    {"web_search_options", kNo, kYes, kAny, Use::kRefused, never, ""},
    {"prediction",
     kNo,
     kYes,
     kAny,
     Use::kNoEffect,
     nullptr,
     "it is there to make an answer come faster, not to change it"},
    {"store", kNo, kYes, kAny, Use::kNoEffect, nullptr, "no answer is kept, whatever it says"},
    {"service_tier", kNo, kYes, kAny, Use::kNoEffect, nullptr, "there is one tier"},
    {"user", kYes, kYes, kAny, Use::kNoEffect, nullptr, kClients},
    {"metadata", kNo, kYes, kAny, Use::kNoEffect, nullptr, kClients},
    {"safety_identifier", kNo, kYes, kAny, Use::kNoEffect, nullptr, kClients},
    {"prompt_cache_key", kNo, kYes, kAny, Use::kNoEffect, nullptr, "prefixes are found by content"},
    {"prompt_cache_retention",
     kNo,
     kYes,
     kAny,
     Use::kNoEffect,
     nullptr,
     "prefixes are kept while there is room"},
};

constexpr std::string_view kStrict = "leave it out, or start the server without --strict-fields";

/// Those of a chat's messages.
Result<int64_t> check_members(const Json& body, bool strict) {
  const Json* messages = base::find(body, "messages");
  if (!messages) return 0;
  const std::vector<std::string> unknown = unknown_members(*messages);
  if (!strict || unknown.empty()) return std::ssize(unknown);
  return base::invalid(fmt::format("{} is no member of a message", unknown.front()),
                       std::string(kStrict));
}

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
                             std::string(kStrict));
      }
      ++unknown;
      continue;
    }
    if (rule->use != Use::kRefused || value.is_null() || rule->asks_for_nothing(value)) continue;
    return base::unsupported(fmt::format("'{}' is not supported", name), std::string(rule->reason));
  }
  if (endpoint == Endpoint::kChat) {
    TKM_ASSIGN(const int64_t members, check_members(body, strict));
    unknown += members;
  }
  return unknown;
}

}  // namespace tokamak::server
