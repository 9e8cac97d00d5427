// SPDX-License-Identifier: Apache-2.0
// POST /v2/models/{model}/infer: BYTES text_input in, BYTES text_output out, both as JSON or in the
// binary extension. Parameters are inputs of one element or members of the request's `parameters`.
#include <charconv>

#include "tokamak/server/kserve_answer.h"
#include "tokamak/server/kserve_request.h"
#include "tokamak/server/kserve_tensors.h"
#include "tokamak/server/routes/routes.h"
#include "tokamak/server/sampling_fields.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kHeaderLength = "Inference-Header-Content-Length";

Result<std::optional<size_t>> json_bytes_of(const HttpRequest& http) {
  auto value = http.header(kHeaderLength);
  if (!value) return std::optional<size_t>();
  size_t bytes = 0;
  const char* end = value->data() + value->size();
  auto [stop, error] = std::from_chars(value->data(), end, bytes);
  if (error != std::errc{} || stop != end) {
    return base::invalid(fmt::format("{} is no number", kHeaderLength));
  }
  return std::optional(bytes);
}

/// What the client wants to know about text_output: whether it takes it in binary.
Result<bool> wants_binary(const Json& request) {
  bool binary = false;
  if (const Json* parameters = base::find(request, "parameters")) {
    TKM_ASSIGN(binary, base::get_bool(*parameters, "binary_data_output", false));
  }
  const Json* outputs = base::find(request, "outputs");
  if (!outputs) return binary;
  if (!outputs->is_array()) return wrong_type("outputs", "a list", *outputs);
  for (const Json& output : *outputs) {
    if (!output.is_object()) return wrong_type("outputs", "a list of objects", output);
    TKM_ASSIGN(std::string name, base::get_string(output, "name"));
    if (name != "text_output") {
      return base::invalid(
          fmt::format("outputs names '{}', there is text_output only", name.substr(0, 80)));
    }
    if (const Json* parameters = base::find(output, "parameters")) {
      TKM_ASSIGN(binary, base::get_bool(*parameters, "binary_data", binary));
    }
  }
  return binary;
}

/// The request's parameters, and its inputs other than text_input: of one element as that element,
/// of more as a list.
Result<Json> parameters_of(const KServeInfer& infer) {
  Json parameters = Json::object();
  if (const Json* given = base::find(infer.request, "parameters")) {
    if (!given->is_object()) return wrong_type("parameters", "an object", *given);
    parameters = *given;
    parameters.erase("binary_data_output");
  }
  for (const KServeTensor& input : infer.inputs) {
    if (input.name == "text_input") continue;
    if (parameters.contains(input.name)) {
      return base::invalid(fmt::format("'{}' is given twice", input.name));
    }
    parameters[input.name] = input.values.size() == 1 ? input.values.front() : input.values;
  }
  // Triton's clients say so with every request; one answer is the only form of this endpoint.
  if (parameters.value("stream", Json(false)) == false) parameters.erase("stream");
  return parameters;
}

Result<const KServeTensor*> text_input_of(const KServeInfer& infer) {
  const KServeTensor* found = nullptr;
  for (const KServeTensor& input : infer.inputs) {
    if (input.name != "text_input") continue;
    if (found) return base::invalid("text_input is given twice");
    found = &input;
  }
  if (!found) return base::invalid("text_input is missing");
  if (found->datatype != "BYTES") {
    return base::invalid(
        fmt::format("text_input has the datatype {}, must be BYTES", found->datatype));
  }
  if (found->values.empty()) return base::invalid("text_input has no text");
  return found;
}

struct InferAnswer {
  std::string id, model;
  std::vector<int64_t> shape;
  bool binary = false;

  HttpResponse operator()(const std::vector<std::string>& texts) const {
    Json output = {{"name", "text_output"}, {"datatype", "BYTES"}, {"shape", shape}};
    std::string behind;
    if (binary) {
      behind = binary_texts(texts);
      output["parameters"] = {{"binary_data_size", behind.size()}};
    } else {
      output["data"] = texts;
    }
    Json json = Json::object();
    if (!id.empty()) json["id"] = id;
    json["model_name"] = model;
    json["model_version"] = "1";
    json["outputs"] = Json::array({std::move(output)});
    HttpResponse response = json_response(json);
    if (!binary) return response;
    response.content_type = "application/octet-stream";
    response.headers.push_back({std::string(kHeaderLength), std::to_string(response.body.size())});
    response.body += behind;
    return response;
  }
};

Result<GenerationPlan> plan(Service& service,
                            const HttpRequest& http,
                            const std::shared_ptr<const Model>& model) {
  TKM_RETURN_IF_ERROR(check_model(http.model, *model));
  TKM_ASSIGN(std::optional<size_t> json_bytes, json_bytes_of(http));
  TKM_ASSIGN(KServeInfer infer, parse_infer(http.body, json_bytes));
  TKM_ASSIGN(const KServeTensor* input, text_input_of(infer));
  InferAnswer answer{.model = http.model, .shape = input->shape};
  TKM_ASSIGN(answer.id, base::get_string(infer.request, "id", ""));
  TKM_ASSIGN(answer.binary, wants_binary(infer.request));
  KServeRequest request;
  request.texts = input->values.get<std::vector<std::string>>();
  request.sampling = model->defaults;
  request.cache_salt = cache_salt(http, "");
  TKM_ASSIGN(Json parameters, parameters_of(infer));
  TKM_RETURN_IF_ERROR(read_parameters(parameters, service, *model, request));
  GenerationPlan plan{model, {}, nullptr};
  TKM_ASSIGN(plan.requests, executor_requests(request, service, *model));
  plan.writer = std::make_unique<KServeAnswer>(
      request.with_prompt ? request.texts : std::vector<std::string>(request.texts.size()),
      request.stream_interval,
      KServeShape{answer, "", {}, {}});
  return plan;
}

}  // namespace

void kserve_infer(Service& service, const ExchangePtr& exchange) {
  auto planned = plan(service, exchange->request(), service.model());
  if (!planned.ok()) return respond_error(exchange, planned.error());
  generate(service, exchange, std::move(*planned));
}

}  // namespace tokamak::server
