// SPDX-License-Identifier: Apache-2.0
// POST /v2/models/{model}/infer: BYTES text_input in, BYTES text_output out, both as JSON or in the
// binary extension. Parameters are inputs (of one element, or of a row for each text) or members of
// the request's `parameters`.
#include <charconv>

#include "tokamak/server/field_reader.h"
#include "tokamak/server/kserve_answer.h"
#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/kserve_tensors.h"
#include "tokamak/server/routes/routes.h"

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

/// Of an output; the extensions of Triton that are not spoken are refused, unless they are off.
Result<bool> output_is_binary(const Json& parameters, bool binary) {
  if (!parameters.is_object()) return wrong_type("outputs", "a list with objects", parameters);
  for (const auto& [name, value] : parameters.items()) {
    if (name == "binary_data") {
      TKM_ASSIGN(binary, base::get_bool(parameters, name, binary));
    } else if (name.starts_with("shared_memory_")) {
      return base::unsupported(
          "outputs asks for text_output in shared memory, which is not read "
          "or written here",
          "take the output with the answer");
    } else if (!(name == "classification" && value == 0)) {
      return base::unsupported(fmt::format("outputs has the parameter '{}', which is not supported",
                                           name.substr(0, 80)));
    }
  }
  return binary;
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
      TKM_ASSIGN(binary, output_is_binary(*parameters, binary));
    }
  }
  return binary;
}

Result<void> check_members(const Json& request) {
  for (const auto& [name, value] : request.items()) {
    if (name == "id" || name == "parameters" || name == "outputs") continue;
    return base::invalid(
        fmt::format("'{}' is no member of an inference request", name.substr(0, 80)));
  }
  return {};
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

Result<Json> own_parameters(const KServeInfer& infer) {
  Json parameters = Json::object();
  if (const Json* given = base::find(infer.request, "parameters")) {
    if (!given->is_object()) return wrong_type("parameters", "an object", *given);
    parameters = *given;
    parameters.erase("binary_data_output");
  }
  return parameters;
}

/// An input of two dimensions has a row for each text, if it has as many.
bool has_rows(const KServeTensor& input, size_t num_texts) {
  return num_texts > 1 && input.shape.size() > 1 &&
         input.shape.front() == static_cast<int64_t>(num_texts);
}

/// Text `index` of them has what all have and its rows of the inputs that have one for each.
Result<void> read_rows(std::span<const KServeTensor* const> inputs,
                       size_t index,
                       size_t num_texts,
                       const Model& model,
                       KServeRequest& request) {
  Json parameters = Json::object();
  for (const KServeTensor* input : inputs) {
    const auto size = static_cast<ptrdiff_t>(input->values.size() / num_texts);
    const auto begin = input->values.begin() + static_cast<ptrdiff_t>(index) * size;
    Json row = Json::array();
    row.insert(row.end(), begin, begin + size);
    parameters[input->name] = std::move(row);
  }
  return read_parameters(parameters, model, request);
}

/// Parameters are the request's own, and its inputs other than text_input.
Result<std::vector<KServeRequest>> read_requests(const KServeInfer& infer,
                                                 const KServeTensor& text_input,
                                                 const Model& model,
                                                 KServeRequest shared) {
  const size_t num_texts = text_input.values.size();
  TKM_ASSIGN(Json parameters, own_parameters(infer));
  std::vector<const KServeTensor*> with_rows;
  for (const KServeTensor& input : infer.inputs) {
    if (&input == &text_input) continue;
    if (parameters.contains(input.name)) {
      return base::invalid(fmt::format("'{}' is given twice", input.name));
    }
    const bool rows = has_rows(input, num_texts);
    parameters[input.name] = rows ? Json(nullptr) : input.values;
    if (rows) with_rows.push_back(&input);
  }
  TKM_RETURN_IF_ERROR(read_parameters(parameters, model, shared));
  std::vector<KServeRequest> requests(num_texts, shared);
  for (size_t i = 0; i < num_texts; ++i) {
    requests[i].text = text_input.values[i].get<std::string>();
    TKM_RETURN_IF_ERROR(read_rows(with_rows, i, num_texts, model, requests[i]));
  }
  return requests;
}

Result<GenerationPlan> plan(Service& service,
                            const HttpRequest& http,
                            const std::shared_ptr<const Model>& model) {
  TKM_RETURN_IF_ERROR(check_model(http.model, *model));
  TKM_ASSIGN(std::optional<size_t> json_bytes, json_bytes_of(http));
  TKM_ASSIGN(KServeInfer infer, parse_infer(http.body, json_bytes));
  TKM_RETURN_IF_ERROR(check_members(infer.request));
  TKM_ASSIGN(const KServeTensor* input, text_input_of(infer));
  TKM_RETURN_IF_ERROR(check_num_texts(input->values.size(), service));
  InferAnswer answer{.model = http.model, .shape = input->shape};
  TKM_ASSIGN(answer.id, base::get_string(infer.request, "id", ""));
  TKM_ASSIGN(answer.binary, wants_binary(infer.request));
  TKM_ASSIGN(std::vector<KServeRequest> requests,
             read_requests(infer, *input, *model, new_request(http, *model)));
  GenerationPlan plan{model, {}, nullptr, requests.front().length_names("text_input")};
  TKM_ASSIGN(plan.requests, executor_requests(requests, *model));
  plan.writer = std::make_unique<KServeAnswer>(
      shown_prompts(requests), /*stream_interval=*/1, KServeShape{answer, "", {}, {}});
  return plan;
}

}  // namespace

void kserve_infer(Service& service, const ExchangePtr& exchange) {
  auto planned = plan(service, exchange->request(), service.model());
  if (!planned.ok()) return respond_error(exchange, planned.error());
  generate(service, exchange, std::move(*planned));
}

}  // namespace tokamak::server
