// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/kserve_parameters.h"

#include <limits>

#include "tokamak/server/sampling_fields.h"

namespace tokamak::server {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr bool kOne = false, kList = true;

bool is_false(const Json& value) {
  return value == false;
}
bool is_zero(const Json& value) {
  return value == 0 || value == false;
}
bool is_one(const Json& value) {
  return value == 1;
}
bool never(const Json&) {
  return false;
}

constexpr std::string_view kBeams = "only beam search reads it, and beam_width is 1";
constexpr std::string_view kDecay = "only a decay of top_p reads it";
constexpr std::string_view kNoDrafts = "drafts are not taken from requests";
constexpr std::string_view kNoSequences = "requests do not depend on each other";
constexpr std::string_view kNoGrammar = "answers cannot be constrained by a grammar here";

constexpr ParameterRule kRules[] = {
    // Length and end.
    {"max_tokens", "INT32", kOne},
    {"max_new_tokens", "INT32", kOne, Use::kRead, "max_tokens"},
    {"request_output_len", "INT32", kOne, Use::kRead, "max_tokens"},
    {"min_tokens", "INT32", kOne},
    {"min_length", "INT32", kOne, Use::kRead, "min_tokens"},
    {"end_id", "INT32", kOne},
    {"pad_id", "INT32", kOne, Use::kNoEffect, {}, nullptr, "sequences are not padded"},
    {"ignore_eos", "BOOL", kOne},
    {"stop", "BYTES", kList},
    {"stop_words", "BYTES", kList, Use::kRead, "stop"},
    {"stop_token_ids", "INT32", kList},
    {"include_stop_str_in_output", "BOOL", kOne},
    // Choice.
    {"temperature", "FP32", kOne},
    {"top_k", "INT32", kOne},
    {"runtime_top_k", "INT32", kOne, Use::kRead, "top_k"},
    {"top_p", "FP32", kOne},
    {"runtime_top_p", "FP32", kOne, Use::kRead, "top_p"},
    {"min_p", "FP32", kOne},
    {"repetition_penalty", "FP32", kOne},
    {"presence_penalty", "FP32", kOne},
    {"frequency_penalty", "FP32", kOne},
    {"seed", "UINT64", kOne},
    {"random_seed", "UINT64", kOne, Use::kRead, "seed"},
    {"bad_words", "BYTES", kList},
    {"logit_bias", "", kOne},
    {"allowed_token_ids", "INT32", kList},
    // The answer's form.
    {"exclude_input_in_output", "BOOL", kOne},
    {"streaming_interval", "INT32", kOne},
    // What is not done here, and what that makes meaningless.
    {"beam_width", "INT32", kOne, Use::kRefused, {}, is_one, "there is no beam search"},
    {"length_penalty", "FP32", kOne, Use::kNoEffect, {}, nullptr, kBeams},
    {"len_penalty", "FP32", kOne, Use::kNoEffect, {}, nullptr, kBeams},
    {"early_stopping", "INT32", kOne, Use::kNoEffect, {}, nullptr, kBeams},
    {"beam_search_diversity_rate", "FP32", kOne, Use::kNoEffect, {}, nullptr, kBeams},
    {"runtime_top_p_decay", "FP32", kOne, Use::kRefused, {}, is_one, "top_p stays as it is"},
    {"runtime_top_p_min", "FP32", kOne, Use::kNoEffect, {}, nullptr, kDecay},
    {"runtime_top_p_reset_ids", "INT32", kOne, Use::kNoEffect, {}, nullptr, kDecay},
    {"num_return_sequences",
     "INT32",
     kOne,
     Use::kRefused,
     {},
     is_one,
     "send the text several times"},
    {"embedding_bias_words", "BYTES", kList, Use::kRefused, {}, never, "use logit_bias"},
    {"embedding_bias_weights", "FP32", kList, Use::kRefused, {}, never, "use logit_bias"},
    {"embedding_bias", "FP32", kList, Use::kRefused, {}, never, "use logit_bias"},
    {"return_log_probs", "BOOL", kOne, Use::kRefused, {}, is_false, "use /v1/completions"},
    {"return_context_logits", "BOOL", kOne, Use::kRefused, {}, is_false, "logits are not sent"},
    {"return_generation_logits", "BOOL", kOne, Use::kRefused, {}, is_false, "logits are not sent"},
    {"return_perf_metrics", "BOOL", kOne, Use::kRefused, {}, is_false, "see /metrics"},
    {"return_kv_cache_reuse_stats", "BOOL", kOne, Use::kRefused, {}, is_false, "see /metrics"},
    {"num_draft_tokens", "INT32", kOne, Use::kRefused, {}, is_zero, kNoDrafts},
    {"use_draft_logits", "BOOL", kOne, Use::kRefused, {}, is_false, kNoDrafts},
    {"draft_input_ids", "INT32", kList, Use::kRefused, {}, never, kNoDrafts},
    {"guided_decoding_guide_type", "BYTES", kOne, Use::kRefused, {}, never, kNoGrammar},
    {"guided_decoding_guide", "BYTES", kOne, Use::kRefused, {}, never, kNoGrammar},
    {"image_input", "FP16", kList, Use::kRefused, {}, never, "this model reads text only"},
    {"image_url_input", "BYTES", kList, Use::kRefused, {}, never, "this model reads text only"},
    {"prompt_embedding_table", "FP16", kList, Use::kRefused, {}, never, "send text"},
    {"prompt_vocab_size", "INT32", kOne, Use::kRefused, {}, is_zero, "send text"},
    {"input_ids", "INT32", kList, Use::kRefused, {}, never, "send text_input"},
    {"stop_words_list", "INT32", kList, Use::kRefused, {}, never, "send stop_words"},
    {"bad_words_list", "INT32", kList, Use::kRefused, {}, never, "send bad_words"},
    {"lora_name", "BYTES", kOne, Use::kRefused, {}, never, "adapters cannot be loaded"},
    {"lora_task_id", "UINT64", kOne, Use::kRefused, {}, is_zero, "adapters cannot be loaded"},
    {"streaming", "BOOL", kOne, Use::kRefused, {}, is_false, "use generate_stream or predict"},
    {"stream", "BOOL", kOne, Use::kRefused, {}, is_false, "use generate_stream or predict"},
    {"priority", "", kOne, Use::kRefused, {}, is_zero, "use /v1/completions"},
    {"timeout", "", kOne, Use::kRefused, {}, is_zero, "close the connection"},
    {"sequence_id", "", kOne, Use::kRefused, {}, is_zero, kNoSequences},
    {"sequence_start", "", kOne, Use::kRefused, {}, is_false, kNoSequences},
    {"sequence_end", "", kOne, Use::kRefused, {}, is_false, kNoSequences},
};

const ParameterRule* rule_of(std::string_view name) {
  for (const ParameterRule& rule : kRules) {
    if (rule.name == name) return &rule;
  }
  return nullptr;
}

/// The values of a nested list, without empty texts.
void flatten(const Json& value, Json& out) {
  if (value.is_array()) {
    for (const Json& element : value) flatten(element, out);
  } else if (!(value.is_string() && value.get_ref<const std::string&>().empty())) {
    out.push_back(value);
  }
}

/// Null if nothing is asked for.
Result<Json> plain_value(const ParameterRule& rule, const Json& value) {
  const bool lone = rule.is_list && value.is_number();
  if (!value.is_array() && !value.is_string() && !lone) return value;
  Json values = Json::array();
  flatten(value, values);
  if (values.empty()) return Json(nullptr);
  if (rule.is_list) return values;
  if (values.size() == 1) return values.front();
  return wrong_type(rule.name, "one value", value);
}

/// What is to be read, under the names that are read; `named` are those that the client gave.
using Names = std::vector<std::pair<std::string_view, std::string_view>>;
Result<Json> sort_out(const Json& parameters, Names& named) {
  Json out = Json::object();
  for (const auto& [name, given] : parameters.items()) {
    const ParameterRule* rule = rule_of(name);
    if (!rule) {
      return base::invalid(
          fmt::format("'{}' is no parameter of this endpoint", name.substr(0, 80)));
    }
    if (given.is_null() || rule->use == Use::kNoEffect) continue;
    TKM_ASSIGN(Json value, plain_value(*rule, given));
    if (value.is_null()) continue;
    if (rule->use == Use::kRefused) {
      if (rule->asks_for_nothing(value)) continue;
      return base::unsupported(fmt::format("'{}' is not supported", name),
                               std::string(rule->reason));
    }
    // Of a backend's own protocol: false goes on, true would end the request at once.
    if (name == "stop" && value == false) continue;
    const std::string_view read = rule->means.empty() ? rule->name : rule->means;
    const Json* before = base::find(out, read);
    if (before && *before != value) {
      return base::invalid(fmt::format("{} and its other name contradict each other", name));
    }
    if (!before) out[std::string(read)] = std::move(value);
    named.emplace_back(read, rule->name);
  }
  return out;
}

void read_end(FieldReader& reader, const Model& model, runtime::SamplingParams& sampling) {
  if (!reader.find("end_id")) return;
  int64_t id = -1;
  reader.integer("end_id", id, -1, model.info().vocab_size - 1);
  // It takes the place of the model's own ends.
  sampling.ignore_eos = true;
  if (id >= 0) sampling.stop_token_ids.push_back(id);
}

void read_values(FieldReader& reader, const Model& model, KServeRequest& request) {
  read_sampling(reader, model, request.sampling);
  read_end(reader, model, request.sampling);
  if (reader.find("max_tokens")) {
    int64_t value = 1;
    reader.integer("max_tokens", value, 1, kMost);
    request.max_tokens = value;
  }
  bool without_prompt = !request.with_prompt;
  reader.boolean("exclude_input_in_output", without_prompt);
  request.with_prompt = !without_prompt;
  reader.integer("streaming_interval", request.stream_interval, 1, kMost);
}

}  // namespace

std::span<const ParameterRule> parameter_rules() {
  return kRules;
}

Result<void> read_parameters(const Json& parameters, const Model& model, KServeRequest& request) {
  if (!parameters.is_object()) return wrong_type("parameters", "an object", parameters);
  Names named;
  TKM_ASSIGN(Json values, sort_out(parameters, named));
  for (auto [read, given] : named) request.names[std::string(read)] = given;
  FieldReader reader(values);
  read_values(reader, model, request);
  if (!reader.ok()) return request.in_its_words(reader.status().error());
  return {};
}

Result<void> lift_parameters(Json& body) {
  auto inner = body.find("parameters");
  if (inner == body.end()) return {};
  Json parameters = std::move(*inner);
  body.erase("parameters");
  if (parameters.is_null()) return {};
  if (!parameters.is_object()) return wrong_type("parameters", "an object", parameters);
  for (auto& [name, value] : parameters.items()) {
    if (body.contains(name)) {
      return base::invalid(fmt::format("'{}' stands in parameters and beside them", name));
    }
    body[name] = std::move(value);
  }
  return {};
}

}  // namespace tokamak::server
