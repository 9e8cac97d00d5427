// SPDX-License-Identifier: Apache-2.0
// POST /tokenize {"prompt"} or {"messages"}, POST /detokenize {"tokens"}, GET /tokenizer_info: as
// vLLM has them.
#include "tokamak/server/chat_prompt.h"
#include "tokamak/server/field_reader.h"
#include "tokamak/server/json_body.h"
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

Result<void> check_requested_model(const Json& body, const Model& model) {
  std::string name = model.name();
  FieldReader reader(body);
  reader.text("model", name);
  TKM_RETURN_IF_ERROR(reader.status());
  return check_model(name, model);
}

Result<std::vector<int32_t>> ids_of(const Json& body, const Model& model) {
  FieldReader reader(body);
  const Endpoint endpoint = body.contains("messages") ? Endpoint::kChat : Endpoint::kCompletions;
  TKM_RETURN_IF_ERROR(check_fields(body, endpoint, /*strict=*/false));
  if (endpoint == Endpoint::kChat) {
    OpenAiRequest request{.endpoint = Endpoint::kChat, .add_special_tokens = false};
    reader.boolean("add_special_tokens", request.add_special_tokens);
    TKM_RETURN_IF_ERROR(reader.status());
    TKM_ASSIGN(Prompt prompt, chat_prompt(body, request, model, ToolUse::kShown));
    return prompt.ids;
  }
  std::string text;
  bool add_special_tokens = true;
  if (!reader.find("prompt")) return base::invalid("'prompt' is missing");
  reader.text("prompt", text);
  reader.boolean("add_special_tokens", add_special_tokens);
  TKM_RETURN_IF_ERROR(reader.status());
  return encode(model, text, add_special_tokens);
}

Result<Json> tokens_of(const HttpRequest& http, const Model& model) {
  TKM_ASSIGN(Json body, parse_object(http.body));
  TKM_RETURN_IF_ERROR(check_requested_model(body, model));
  TKM_ASSIGN(std::vector<int32_t> ids, ids_of(body, model));
  FieldReader reader(body);
  bool with_texts = false;
  reader.boolean("return_token_strs", with_texts);
  TKM_RETURN_IF_ERROR(reader.status());
  Json out = {{"count", ids.size()}, {"max_model_len", model.info().max_seq_len}, {"tokens", ids}};
  if (with_texts) {
    Json texts = Json::array();
    for (int32_t id : ids) texts.push_back(std::string(model.tokenizer->token(id)));
    out["token_strs"] = std::move(texts);
  }
  return out;
}

Result<Json> text_of(const HttpRequest& http, const Model& model) {
  TKM_ASSIGN(Json body, parse_object(http.body));
  TKM_RETURN_IF_ERROR(check_requested_model(body, model));
  if (!model.tokenizer) {
    return base::unsupported(fmt::format("model '{}' has no tokenizer", model.name()));
  }
  FieldReader reader(body);
  std::vector<int32_t> ids;
  bool skip_special_tokens = false;
  if (!reader.find("tokens")) return base::invalid("'tokens' is missing");
  reader.ids("tokens", ids);
  reader.boolean("skip_special_tokens", skip_special_tokens);
  TKM_RETURN_IF_ERROR(reader.status());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < model.tokenizer->vocab_size()) continue;
    return base::invalid(fmt::format(
        "tokens[{}] is {}, must be in [0, {})", i, ids[i], model.tokenizer->vocab_size()));
  }
  TKM_ASSIGN(std::string text, model.tokenizer->decode(ids, skip_special_tokens));
  return Json{{"prompt", std::move(text)}};
}

void answer(const ExchangePtr& exchange, Result<Json> result) {
  if (!result.ok()) return respond_error(exchange, result.error());
  exchange->respond(json_response(*result));
}

/// What a client needs to render chats and count tokens itself.
Result<Json> info_of(const Model& model) {
  if (!model.tokenizer) {
    return base::unsupported(fmt::format("model '{}' has no tokenizer", model.name()));
  }
  Json out = model.template_variables;
  out["vocab_size"] = model.tokenizer->vocab_size();
  out["model_max_length"] = model.info().max_seq_len;
  for (const char* token : {"bos_token", "eos_token", "pad_token"}) {
    if (!out.contains(token)) out[token] = nullptr;
  }
  if (model.chat_template) {
    out["chat_template"] = model.chat_template->source();
  } else {
    out["chat_template"] = nullptr;
  }
  return out;
}

}  // namespace

void tokenizer_info(Service& service, const ExchangePtr& exchange) {
  answer(exchange, info_of(*service.model()));
}

void tokenize(Service& service, const ExchangePtr& exchange) {
  answer(exchange, tokens_of(exchange->request(), *service.model()));
}

void detokenize(Service& service, const ExchangePtr& exchange) {
  answer(exchange, text_of(exchange->request(), *service.model()));
}

}  // namespace tokamak::server
