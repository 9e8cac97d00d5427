// SPDX-License-Identifier: Apache-2.0
// KServe v2 about the server and its model: GET /v2, /v2/health/live, /v2/health/ready,
// /v2/models/{model} and its /ready, each also with /versions/1.
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

HttpResponse empty_response(bool good) {
  HttpResponse response;
  response.status = good ? 200 : 503;
  if (!good) response.headers.push_back({"Retry-After", "1"});
  return response;
}

Json tensor_metadata(std::string_view name, std::string_view datatype) {
  return {{"name", name}, {"datatype", datatype}, {"shape", {-1}}};
}

}  // namespace

void kserve_server(Service&, const ExchangePtr& exchange) {
  exchange->respond(json_response({{"name", "tokamak"},
                                   {"version", TOKAMAK_VERSION},
                                   {"extensions", {"binary_tensor_data", "generate"}}}));
}

void kserve_live(Service&, const ExchangePtr& exchange) {
  exchange->respond(empty_response(true));
}

void kserve_ready(Service& service, const ExchangePtr& exchange) {
  exchange->respond(empty_response(service.state() == State::kReady));
}

void kserve_model_ready(Service& service, const ExchangePtr& exchange) {
  auto status = check_model(exchange->request().model, *service.model());
  if (!status.ok()) return respond_error(exchange, status.error());
  kserve_ready(service, exchange);
}

void kserve_model(Service& service, const ExchangePtr& exchange) {
  auto model = service.model();
  const std::string& name = exchange->request().model;
  if (auto status = check_model(name, *model); !status.ok()) {
    return respond_error(exchange, status.error());
  }
  exchange->respond(json_response({{"name", name},
                                   {"versions", {"1"}},
                                   {"platform", "tokamak_" + model->target},
                                   {"inputs",
                                    {tensor_metadata("text_input", "BYTES"),
                                     tensor_metadata("max_tokens", "INT32"),
                                     tensor_metadata("temperature", "FP32"),
                                     tensor_metadata("top_k", "INT32"),
                                     tensor_metadata("top_p", "FP32")}},
                                   {"outputs", {tensor_metadata("text_output", "BYTES")}}}));
}

}  // namespace tokamak::server
