// SPDX-License-Identifier: Apache-2.0
// KServe v2 about the server and its model: GET /v2, /v2/health/live, /v2/health/ready,
// /v2/models/{model} and its /ready, and Triton's /config and /stats, each also with /versions/1;
// POST /v2/repository/index.
#include <chrono>

#include "tokamak/server/json_body.h"
#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

HttpResponse empty_response(bool good) {
  HttpResponse response;
  response.status = good ? 200 : 503;
  if (!good) response.headers.push_back({"Retry-After", "1"});
  return response;
}

/// Of text_input and each parameter that may come as an input: make(name, datatype).
template <typename Make>
Json inputs(Make make) {
  Json out = Json::array({make("text_input", "BYTES")});
  for (const ParameterRule& rule : parameter_rules()) {
    if (rule.use == Use::kRead && !rule.datatype.empty())
      out.push_back(make(rule.name, rule.datatype));
  }
  return out;
}

Json tensor_metadata(std::string_view name, std::string_view datatype) {
  return {{"name", name}, {"datatype", datatype}, {"shape", {-1}}};
}

/// Triton's configurations have other names for the datatypes.
Json tensor_config(std::string_view name, std::string_view datatype) {
  const std::string type = datatype == "BYTES" ? "STRING" : std::string(datatype);
  return {{"name", name}, {"data_type", "TYPE_" + type}, {"dims", {-1}}};
}

Json config_of(const Model& model, const std::string& name) {
  return {{"name", name},
          {"platform", "tokamak_" + model.target},
          {"backend", "tokamak"},
          {"version_policy", {{"latest", {{"num_versions", 1}}}}},
          {"max_batch_size", 0},
          {"input", inputs(tensor_config)},
          {"output", {tensor_config("text_output", "BYTES")}},
          {"model_transaction_policy", {{"decoupled", false}}}};
}

Json duration(int64_t count, double seconds) {
  return {{"count", count}, {"ns", static_cast<int64_t>(seconds * 1e9)}};
}

/// An answer is an inference. Reading inputs and writing outputs take no time that is counted.
Json stats_of(const Service& service, const Model& model, const std::string& name) {
  const executor::ExecutorStats stats = model.executor->stats();
  const Metrics::Totals totals = service.metrics.totals();
  auto ended = [&](executor::FinishReason reason) {
    return stats.finished[static_cast<size_t>(reason)];
  };
  const int64_t good =
      ended(executor::FinishReason::kStop) + ended(executor::FinishReason::kLength);
  int64_t all = 0;
  for (int64_t count : stats.finished) all += count;
  return {{"name", name},
          {"version", "1"},
          {"inference_count", good},
          {"execution_count", stats.steps},
          {"inference_stats",
           {{"success", duration(good, totals.request_seconds)},
            {"fail", duration(all - good, 0)},
            {"queue", duration(stats.admitted, totals.queue_seconds)},
            {"compute_input", duration(good, 0)},
            {"compute_infer", duration(good, totals.inference_seconds)},
            {"compute_output", duration(good, 0)},
            {"cache_hit", duration(0, 0)},
            {"cache_miss", duration(0, 0)}}},
          {"batch_stats", Json::array()}};
}

/// Answers with what `make` says of the model that the path names.
template <typename Make>
void describe(Service& service, const ExchangePtr& exchange, Make make) {
  auto model = service.model();
  const std::string& name = exchange->request().model;
  if (auto status = check_model(name, *model); !status.ok()) {
    return respond_error(exchange, status.error());
  }
  exchange->respond(json_response(make(*model, name)));
}

}  // namespace

void kserve_server(Service&, const ExchangePtr& exchange) {
  exchange->respond(json_response({{"name", "tokamak"},
                                   {"version", TOKAMAK_VERSION},
                                   {"extensions",
                                    {"binary_tensor_data",
                                     "generate",
                                     "model_configuration",
                                     "model_repository",
                                     "statistics"}}}));
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
  // Triton's clients ask /v2/models/stats for the figures of all models.
  if (exchange->request().model == "stats" && !model->serves("stats")) {
    return exchange->respond(
        json_response({{"model_stats", {stats_of(service, *model, model->name())}}}));
  }
  describe(service, exchange, [](const Model& described, const std::string& name) -> Json {
    return {{"name", name},
            {"versions", {"1"}},
            {"platform", "tokamak_" + described.target},
            {"inputs", inputs(tensor_metadata)},
            {"outputs", {tensor_metadata("text_output", "BYTES")}}};
  });
}

void kserve_model_config(Service& service, const ExchangePtr& exchange) {
  describe(service, exchange, config_of);
}

void kserve_model_stats(Service& service, const ExchangePtr& exchange) {
  describe(service, exchange, [&](const Model& model, const std::string& name) -> Json {
    return {{"model_stats", {stats_of(service, model, name)}}};
  });
}

void kserve_repository_index(Service& service, const ExchangePtr& exchange) {
  // {"ready": true} asks for those that are ready, which all are that are listed.
  const std::string& body = exchange->request().body;
  if (auto parsed = parse_object(body); !body.empty() && !parsed.ok()) {
    return respond_error(exchange, parsed.error());
  }
  Json models = Json::array();
  for (const std::string& name : service.model()->names) {
    models.push_back({{"name", name}, {"version", "1"}, {"state", "READY"}, {"reason", ""}});
  }
  exchange->respond(json_response(models));
}

}  // namespace tokamak::server
