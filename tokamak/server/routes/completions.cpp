// SPDX-License-Identifier: Apache-2.0
// POST /v1/completions
#include "tokamak/server/field_reader.h"
#include "tokamak/server/json_body.h"
#include "tokamak/server/openai_answer.h"
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

Result<Prompt> prompt_of(const Json& value, const OpenAiRequest& request, const Model& model) {
  Prompt prompt;
  if (value.is_string()) {
    prompt.text = value.get<std::string>();
    TKM_ASSIGN(
        prompt.ids,
        encode_prompt(
            model, prompt.text, request.add_special_tokens, request.truncate_prompt_tokens != 0));
    return prompt;
  }
  TKM_ASSIGN(prompt.ids, read_ids("prompt", value));
  for (size_t i = 0; i < prompt.ids.size(); ++i) {
    if (prompt.ids[i] < model.info().vocab_size) continue;
    return base::invalid(fmt::format("prompt token {} at index {} is not in [0, {})",
                                     prompt.ids[i],
                                     i,
                                     model.info().vocab_size));
  }
  return prompt;
}

/// Keeps of the prompt the tokens that are left of it, and the text that echo repeats: as it was
/// sent, or that of the tokens, special ones too, if tokens were sent or it was cut.
Result<void> keep_left(Prompt& prompt,
                       const std::vector<int32_t>& left,
                       const OpenAiRequest& request,
                       const Model& model) {
  const bool is_cut = left.size() < prompt.ids.size();
  prompt.ids = left;
  if (!request.echo) {
    prompt.text.clear();
  } else if (model.tokenizer && (is_cut || prompt.text.empty())) {
    TKM_ASSIGN(prompt.text, model.tokenizer->decode(prompt.ids, /*skip_special_tokens=*/false));
  }
  return {};
}

/// A text, a list of texts, a list of ids or a list of lists of ids.
Result<std::vector<Prompt>> read_prompts(const Json& body,
                                         const OpenAiRequest& request,
                                         const Model& model,
                                         int64_t max_choices) {
  const Json* value = base::find(body, "prompt");
  if (!value) return base::invalid("'prompt' is missing");
  const bool several = value->is_array() && !value->empty() &&
                       (value->front().is_string() || value->front().is_array());
  if (!several && !value->is_string() && !value->is_array()) {
    return wrong_type("prompt", "a text, token ids, or a list of either", *value);
  }
  const int64_t count = several ? static_cast<int64_t>(value->size()) : 1;
  if (count > max_choices / request.best_of) {
    return base::invalid(fmt::format(
        "prompt asks for {} x {} answers, the limit is {}", count, request.best_of, max_choices));
  }
  std::vector<Prompt> prompts;
  for (int64_t i = 0; i < count; ++i) {
    TKM_ASSIGN(Prompt prompt,
               prompt_of(several ? (*value)[static_cast<size_t>(i)] : *value, request, model));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

Result<GenerationPlan> plan(Service& service,
                            const HttpRequest& http,
                            const std::shared_ptr<const Model>& model) {
  TKM_ASSIGN(Json body, parse_object(http.body));
  TKM_ASSIGN(int64_t unknown,
             check_fields(body, Endpoint::kCompletions, service.options.strict_fields));
  service.metrics.unknown_fields(unknown);
  TKM_ASSIGN(OpenAiRequest request,
             read_openai_request(body, Endpoint::kCompletions, http, *model));
  TKM_RETURN_IF_ERROR(check_model(request.model, *model));
  TKM_ASSIGN(std::vector<Prompt> prompts,
             read_prompts(body, request, *model, service.options.max_choices));
  GenerationPlan plan{model, {}, nullptr, request.length_names};
  for (Prompt& prompt : prompts) {
    plan.requests.push_back(executor_request(request, prompt, *model));
    TKM_RETURN_IF_ERROR(keep_left(prompt, plan.requests.back().prompt, request, *model));
  }
  plan.writer = std::make_unique<OpenAiAnswer>(std::move(request), std::move(prompts), model);
  return plan;
}

}  // namespace

void completions(Service& service, const ExchangePtr& exchange) {
  auto model = service.model();
  auto planned = plan(service, exchange->request(), model);
  if (!planned.ok()) return respond_error(exchange, planned.error());
  generate(service, exchange, std::move(*planned));
}

}  // namespace tokamak::server
