// SPDX-License-Identifier: Apache-2.0
// POST /v1/chat/completions
#include "tokamak/server/chat_prompt.h"
#include "tokamak/server/json_body.h"
#include "tokamak/server/openai_answer.h"
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

Result<GenerationPlan> plan(Service& service,
                            const HttpRequest& http,
                            const std::shared_ptr<const Model>& model) {
  TKM_ASSIGN(Json body, parse_object(http.body));
  TKM_ASSIGN(int64_t unknown, check_fields(body, Endpoint::kChat, service.options.strict_fields));
  service.metrics.unknown_fields(unknown);
  TKM_ASSIGN(OpenAiRequest request, read_openai_request(body, Endpoint::kChat, http, *model));
  TKM_RETURN_IF_ERROR(check_model(request.model, *model));
  TKM_ASSIGN(Prompt prompt, chat_prompt(body, request, *model));
  GenerationPlan plan{model, {}, nullptr};
  plan.requests.push_back(executor_request(request, prompt, *model));
  plan.names = request.length_names;
  prompt.ids = plan.requests.back().prompt;
  std::vector<Prompt> prompts;
  prompts.push_back(std::move(prompt));
  plan.writer = std::make_unique<OpenAiAnswer>(std::move(request), std::move(prompts), model);
  return plan;
}

}  // namespace

void chat_completions(Service& service, const ExchangePtr& exchange) {
  auto model = service.model();
  auto planned = plan(service, exchange->request(), model);
  if (!planned.ok()) return respond_error(exchange, planned.error());
  generate(service, exchange, std::move(*planned));
}

}  // namespace tokamak::server
