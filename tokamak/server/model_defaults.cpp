// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/model_defaults.h"

#include <algorithm>
#include <limits>

#include "tokamak/server/json_body.h"
#include "tokamak/server/sampling_fields.h"

namespace tokamak::server {
namespace {

/// logit_bias is none of them: a request could not take a token out of it.
constexpr std::string_view kSettings[] = {"temperature",
                                          "top_k",
                                          "top_p",
                                          "min_p",
                                          "repetition_penalty",
                                          "presence_penalty",
                                          "frequency_penalty",
                                          "seed",
                                          "min_tokens",
                                          "ignore_eos",
                                          "stop",
                                          "stop_token_ids",
                                          "include_stop_str_in_output",
                                          "allowed_token_ids",
                                          "bad_words",
                                          "max_tokens",
                                          "max_new_tokens"};

Result<void> read(const Json& settings, Model& model) {
  for (const auto& [name, value] : settings.items()) {
    if (std::find(std::begin(kSettings), std::end(kSettings), name) != std::end(kSettings))
      continue;
    return base::invalid(fmt::format("'{}' is no setting that has a default", name.substr(0, 80)));
  }
  FieldReader reader(settings);
  read_sampling(reader, model, model.defaults);
  for (const char* name : {"max_tokens", "max_new_tokens"}) {
    if (!reader.find(name)) continue;
    int64_t value = 1;
    reader.integer(name, value, 1, std::numeric_limits<int64_t>::max());
    model.default_max_tokens = value;
  }
  TKM_RETURN_IF_ERROR(reader.status());
  runtime::SamplingParams checked = model.defaults;
  // The longest answer is the request's to say; without one, there is room for min_tokens.
  checked.max_tokens = model.default_max_tokens.value_or(std::max<int64_t>(1, checked.min_tokens));
  return checked.validate(model.info().vocab_size);
}

}  // namespace

Result<void> override_defaults(std::string_view settings, Model& model) {
  TKM_ASSIGN(Json parsed, parse_object(settings));
  return read(parsed, model);
}

}  // namespace tokamak::server
