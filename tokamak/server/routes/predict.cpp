// SPDX-License-Identifier: Apache-2.0
// POST /v1/models/{model}:predict, KServe v1. {"prompt": …, parameters} is answered with {"output":
// …}, or with the text as it comes if `streaming` is true; {"instances": [{"prompt": …}, …],
// parameters} with {"predictions": […]}.
#include "tokamak/server/field_reader.h"
#include "tokamak/server/json_body.h"
#include "tokamak/server/kserve_answer.h"
#include "tokamak/server/kserve_request.h"
#include "tokamak/server/routes/routes.h"
#include "tokamak/server/sampling_fields.h"

namespace tokamak::server {
namespace {

Result<std::vector<std::string>> read_instances(const Json& instances) {
  if (!instances.is_array()) return wrong_type("instances", "a list", instances);
  if (instances.empty()) return base::invalid("instances is empty");
  std::vector<std::string> texts;
  for (size_t i = 0; i < instances.size(); ++i) {
    const Json* text =
        instances[i].is_string() ? &instances[i] : base::find(instances[i], "prompt");
    if (!text || !text->is_string()) {
      return base::invalid(fmt::format("instances[{}] has no prompt", i));
    }
    texts.push_back(text->get<std::string>());
  }
  return texts;
}

/// Takes the texts out of the body, so that the parameters are left.
Result<std::vector<std::string>> take_texts(Json& body) {
  Result<std::vector<std::string>> texts = base::invalid("'prompt' is missing");
  if (const Json* instances = base::find(body, "instances")) {
    texts = read_instances(*instances);
  } else if (base::find(body, "prompt")) {
    std::vector<std::string> read;
    FieldReader reader(body);
    reader.texts("prompt", read);
    if (auto status = reader.status(); !status.ok()) return status.error();
    if (read.empty()) return base::invalid("prompt is empty");
    texts = std::move(read);
  }
  body.erase("instances");
  body.erase("prompt");
  return texts;
}

Result<bool> take_streaming(Json& body) {
  bool streaming = false;
  FieldReader reader(body);
  for (const char* name : {"streaming", "stream"}) reader.boolean(name, streaming);
  TKM_RETURN_IF_ERROR(reader.status());
  body.erase("streaming");
  body.erase("stream");
  return streaming;
}

KServeShape shape(bool predictions, bool several, bool streaming) {
  KServeShape shape;
  shape.whole = [predictions, several](std::vector<std::string> texts) {
    if (predictions) return json_response({{"predictions", texts}});
    if (several) return json_response({{"output", texts}});
    return json_response({{"output", texts.front()}});
  };
  if (streaming) shape.stream_type = "text/plain; charset=utf-8";
  shape.piece = [](std::string_view piece, std::string& out) { out += piece; };
  shape.fail = [](const Fault&, std::string&) { return false; };
  return shape;
}

Result<GenerationPlan> plan(Service& service,
                            const HttpRequest& http,
                            const std::shared_ptr<const Model>& model) {
  TKM_RETURN_IF_ERROR(check_model(http.model, *model));
  TKM_ASSIGN(Json body, parse_object(http.body));
  const bool predictions = base::find(body, "instances") != nullptr;
  const bool several = base::find(body, "prompt") && body["prompt"].is_array();
  KServeRequest request;
  request.sampling = model->defaults;
  request.cache_salt = cache_salt(http, "");
  TKM_ASSIGN(request.texts, take_texts(body));
  TKM_ASSIGN(bool streaming, take_streaming(body));
  if (streaming && (predictions || several)) {
    return base::invalid("streaming takes one prompt, as a text");
  }
  TKM_RETURN_IF_ERROR(read_parameters(body, service, *model, request));
  GenerationPlan plan{model, {}, nullptr};
  TKM_ASSIGN(plan.requests, executor_requests(request, service, *model));
  plan.writer = std::make_unique<KServeAnswer>(
      request.with_prompt ? request.texts : std::vector<std::string>(request.texts.size()),
      request.stream_interval,
      shape(predictions, several, streaming));
  return plan;
}

}  // namespace

void predict(Service& service, const ExchangePtr& exchange) {
  auto planned = plan(service, exchange->request(), service.model());
  if (!planned.ok()) return respond_error(exchange, planned.error());
  generate(service, exchange, std::move(*planned));
}

}  // namespace tokamak::server
