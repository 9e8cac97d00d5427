// SPDX-License-Identifier: Apache-2.0
// POST /v1/models/{model}:predict, KServe v1. {"prompt": …, parameters} is answered with {"output":
// …}, or with the text as it comes if `streaming` is true; {"instances": [{"prompt": …}, …],
// parameters} with {"predictions": […]}. Parameters stand beside these or in `parameters`; those of
// an instance count for it before those of all.
#include "tokamak/server/field_reader.h"
#include "tokamak/server/json_body.h"
#include "tokamak/server/kserve_answer.h"
#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

/// Takes `name` out of an object.
Json take(Json& object, std::string_view name) {
  auto found = object.find(name);
  if (found == object.end()) return nullptr;
  Json value = std::move(*found);
  object.erase(found);
  return value;
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

/// An instance is a text, or an object with a prompt and parameters of its own.
Result<KServeRequest> read_instance(Json instance,
                                    size_t index,
                                    const Model& model,
                                    const KServeRequest& shared) {
  KServeRequest request = shared;
  Json prompt = instance.is_object() ? take(instance, "prompt") : std::move(instance);
  if (!prompt.is_string()) return base::invalid(fmt::format("instances[{}] has no prompt", index));
  request.text = prompt.get<std::string>();
  if (!instance.is_object()) return request;
  TKM_RETURN_IF_ERROR(lift_parameters(instance));
  auto read = read_parameters(instance, model, request);
  if (read.ok()) return request;
  return Error{read.error().code,
               fmt::format("instances[{}]: {}", index, read.error().message),
               read.error().hint};
}

Result<std::vector<KServeRequest>> read_instances(Json instances,
                                                  const Model& model,
                                                  const KServeRequest& shared) {
  if (!instances.is_array()) return wrong_type("instances", "a list", instances);
  if (instances.empty()) return base::invalid("instances is empty");
  std::vector<KServeRequest> requests;
  for (size_t i = 0; i < instances.size(); ++i) {
    TKM_ASSIGN(KServeRequest request, read_instance(std::move(instances[i]), i, model, shared));
    requests.push_back(std::move(request));
  }
  return requests;
}

Result<std::vector<KServeRequest>> read_prompts(const Json& prompt, const KServeRequest& shared) {
  std::vector<std::string> texts;
  const Json body = {{"prompt", prompt}};
  FieldReader reader(body);
  reader.texts("prompt", texts);
  TKM_RETURN_IF_ERROR(reader.status());
  if (texts.empty()) return base::invalid("prompt is empty");
  std::vector<KServeRequest> requests(texts.size(), shared);
  for (size_t i = 0; i < texts.size(); ++i) requests[i].text = std::move(texts[i]);
  return requests;
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
  TKM_RETURN_IF_ERROR(lift_parameters(body));
  Json instances = take(body, "instances"), prompt = take(body, "prompt");
  const bool predictions = !instances.is_null(), several = prompt.is_array();
  if (!predictions && prompt.is_null()) return base::invalid("'prompt' is missing");
  if (predictions && !prompt.is_null()) {
    return base::invalid("prompt and instances exclude each other");
  }
  TKM_ASSIGN(bool streaming, take_streaming(body));
  if (streaming && (predictions || several)) {
    return base::invalid("streaming takes one prompt, as a text");
  }
  TKM_RETURN_IF_ERROR(check_num_texts(predictions ? instances.size() : prompt.size(), service));
  KServeRequest shared = new_request(http, *model);
  TKM_RETURN_IF_ERROR(read_parameters(body, *model, shared));
  TKM_ASSIGN(std::vector<KServeRequest> requests,
             predictions ? read_instances(std::move(instances), *model, shared)
                         : read_prompts(prompt, shared));
  GenerationPlan plan{
      model, {}, nullptr, requests.front().length_names(predictions ? "instances" : "prompt")};
  TKM_ASSIGN(plan.requests, executor_requests(requests, *model));
  plan.writer = std::make_unique<KServeAnswer>(
      shown_prompts(requests), shared.stream_interval, shape(predictions, several, streaming));
  return plan;
}

}  // namespace

void predict(Service& service, const ExchangePtr& exchange) {
  auto planned = plan(service, exchange->request(), service.model());
  if (!planned.ok()) return respond_error(exchange, planned.error());
  generate(service, exchange, std::move(*planned));
}

}  // namespace tokamak::server
