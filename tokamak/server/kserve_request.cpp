// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/kserve_request.h"

#include <algorithm>
#include <limits>

#include "tokamak/server/sampling_fields.h"

namespace tokamak::server {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

constexpr std::string_view kNames[] = {"max_tokens",
                                       "max_new_tokens",
                                       "min_tokens",
                                       "temperature",
                                       "top_k",
                                       "top_p",
                                       "min_p",
                                       "repetition_penalty",
                                       "presence_penalty",
                                       "frequency_penalty",
                                       "seed",
                                       "random_seed",
                                       "stop",
                                       "stop_words",
                                       "stop_token_ids",
                                       "bad_words",
                                       "logit_bias",
                                       "allowed_token_ids",
                                       "ignore_eos",
                                       "include_stop_str_in_output",
                                       "exclude_input_in_output",
                                       "streaming_interval"};

struct Refused {
  std::string_view name;
  bool (*asks_for_nothing)(const Json&);
};

constexpr Refused kRefused[] = {
    {"beam_width", [](const Json& v) { return v == 1; }},
    {"num_return_sequences", [](const Json& v) { return v == 1; }},
    {"return_log_probs", [](const Json& v) { return v == false; }},
    {"return_context_logits", [](const Json& v) { return v == false; }},
    {"return_generation_logits", [](const Json& v) { return v == false; }},
    {"embedding_bias_words", [](const Json& v) { return v.empty(); }},
    {"image_input", [](const Json&) { return false; }},
    {"lora_name", [](const Json&) { return false; }},
};

Result<void> check_names(const Json& parameters, Service& service) {
  int64_t unknown = 0;
  for (const auto& item : parameters.items()) {
    const std::string& name = item.key();
    const Json& value = item.value();
    if (std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames)) continue;
    const auto* refused = std::find_if(
        std::begin(kRefused), std::end(kRefused), [&](const Refused& r) { return r.name == name; });
    if (refused != std::end(kRefused)) {
      if (value.is_null() || refused->asks_for_nothing(value)) continue;
      return base::unsupported(fmt::format("'{}' is not supported", name));
    }
    if (service.options.strict_fields) {
      return base::invalid(
          fmt::format("'{}' is no parameter of this endpoint", name.substr(0, 80)));
    }
    ++unknown;
  }
  service.metrics.unknown_fields(unknown);
  return {};
}

}  // namespace

Result<void> read_parameters(const Json& parameters,
                             Service& service,
                             const Model& model,
                             KServeRequest& request) {
  if (!parameters.is_object()) return wrong_type("parameters", "an object", parameters);
  TKM_RETURN_IF_ERROR(check_names(parameters, service));
  FieldReader reader(parameters);
  read_sampling(reader, model, request.sampling);
  reader.texts("stop_words", request.sampling.stop);
  reader.integer("random_seed", request.sampling.seed, -1, kMost);
  for (const char* name : {"max_tokens", "max_new_tokens"}) {
    if (!reader.find(name)) continue;
    int64_t value = 1;
    reader.integer(name, value, 1, kMost);
    request.max_tokens = value;
  }
  bool without_prompt = !request.with_prompt;
  reader.boolean("exclude_input_in_output", without_prompt);
  request.with_prompt = !without_prompt;
  reader.integer("streaming_interval", request.stream_interval, 1, kMost);
  return reader.status();
}

Result<std::vector<executor::Request>> executor_requests(const KServeRequest& request,
                                                         const Service& service,
                                                         const Model& model) {
  const auto count = static_cast<int64_t>(request.texts.size());
  if (count > service.options.max_choices) {
    return base::invalid(fmt::format(
        "text_input has {} texts, the limit is {}", count, service.options.max_choices));
  }
  std::vector<executor::Request> requests;
  for (const std::string& text : request.texts) {
    executor::Request one;
    TKM_ASSIGN(one.prompt, encode(model, text, /*add_special_tokens=*/true));
    one.sampling = request.sampling;
    const int64_t room = room_left(one.prompt.size(), model);
    one.sampling.max_tokens =
        request.max_tokens.value_or(std::min(model.default_max_tokens.value_or(room), room));
    bound_defaults(model, one.sampling);
    one.cache_salt = request.cache_salt;
    requests.push_back(std::move(one));
  }
  return requests;
}

}  // namespace tokamak::server
