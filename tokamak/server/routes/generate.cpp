// SPDX-License-Identifier: Apache-2.0
// POST /v2/models/{model}/generate and /generate_stream: Triton's generate extension. Parameters
// stand beside text_input or in `parameters`.
#include <limits>

#include "tokamak/server/field_reader.h"
#include "tokamak/server/json_body.h"
#include "tokamak/server/kserve_answer.h"
#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/routes/routes.h"
#include "tokamak/server/sse.h"

namespace tokamak::server {
namespace {

Json answer_json(const std::string& id, const std::string& model, std::string_view text) {
  Json json = Json::object();
  if (!id.empty()) json["id"] = id;
  json["model_name"] = model;
  json["model_version"] = "1";
  json["text_output"] = text;
  return json;
}

KServeShape shape(const std::string& id, const std::string& model, bool streaming) {
  KServeShape shape;
  shape.whole = [id, model](const std::vector<std::string>& texts) {
    return json_response(answer_json(id, model, texts.front()));
  };
  if (streaming) shape.stream_type = kEventStream;
  shape.piece = [id, model](std::string_view piece, std::string& out) {
    append_event(out, json_text(answer_json(id, model, piece)));
  };
  shape.fail = [](const Fault& fault, std::string& out) {
    append_event(out, json_text(error_json(Wire::kKServe, fault)));
    return true;
  };
  return shape;
}

Result<GenerationPlan> plan(const HttpRequest& http,
                            const std::shared_ptr<const Model>& model,
                            bool streaming) {
  TKM_RETURN_IF_ERROR(check_model(http.model, *model));
  TKM_ASSIGN(Json body, parse_object(http.body));
  TKM_RETURN_IF_ERROR(lift_parameters(body));
  FieldReader reader(body);
  std::string id, text;
  bool stream = streaming;
  if (!reader.find("text_input")) return base::invalid("'text_input' is missing");
  reader.text("text_input", text);
  reader.text("id", id);
  reader.boolean("stream", stream);
  TKM_RETURN_IF_ERROR(reader.status());
  if (stream && !streaming) return base::invalid("stream is true: use generate_stream");
  for (const char* name : {"text_input", "id", "stream"}) body.erase(name);
  KServeRequest request = new_request(http, *model);
  request.text = std::move(text);
  TKM_RETURN_IF_ERROR(read_parameters(body, *model, request));
  // A stream that is to be none has one event.
  if (streaming && !stream) request.stream_interval = std::numeric_limits<int64_t>::max();
  GenerationPlan plan{model, {}, nullptr, request.length_names("text_input")};
  TKM_ASSIGN(plan.requests, executor_requests({&request, 1}, *model));
  plan.writer = std::make_unique<KServeAnswer>(
      shown_prompts({&request, 1}), request.stream_interval, shape(id, http.model, streaming));
  return plan;
}

void answer(Service& service, const ExchangePtr& exchange, bool streaming) {
  auto planned = plan(exchange->request(), service.model(), streaming);
  if (!planned.ok()) return respond_error(exchange, planned.error());
  server::generate(service, exchange, std::move(*planned));
}

}  // namespace

void kserve_generate(Service& service, const ExchangePtr& exchange) {
  answer(service, exchange, false);
}

void kserve_generate_stream(Service& service, const ExchangePtr& exchange) {
  answer(service, exchange, true);
}

}  // namespace tokamak::server
