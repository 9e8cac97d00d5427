// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/routes/routes.h"

#include "tokamak/server/model.h"

namespace tokamak::server {
namespace {

constexpr Route kRoutes[] = {
    {"GET", "/", Access::kPublic, Body::kNone, false, false, page},
    {"GET", "/health", Access::kPublic, Body::kNone, false, false, health},
    {"GET", "/ping", Access::kPublic, Body::kNone, false, false, ping},
    {"GET", "/version", Access::kKey, Body::kNone, false, false, version},
    {"GET", "/openapi.json", Access::kKey, Body::kNone, false, false, openapi},
    {"GET", "/metrics", Access::kKey, Body::kNone, false, false, metrics},
    {"GET", "/load", Access::kKey, Body::kNone, true, false, load},

    {"GET", "/v1/models", Access::kKey, Body::kNone, true, false, list_models},
    {"GET", "/v1/models/{model}", Access::kKey, Body::kNone, true, false, describe_model},
    {"POST", "/v1/completions", Access::kKey, Body::kJson, true, true, completions},
    {"POST", "/v1/chat/completions", Access::kKey, Body::kJson, true, true, chat_completions},
    {"POST", "/tokenize", Access::kKey, Body::kJson, true, false, tokenize},
    {"POST", "/detokenize", Access::kKey, Body::kJson, true, false, detokenize},
    {"GET", "/tokenizer_info", Access::kKey, Body::kNone, true, false, tokenizer_info},

    {"POST", "/v1/models/{model}:predict", Access::kKey, Body::kJson, true, true, predict},
    {"GET", "/v2", Access::kKey, Body::kNone, false, false, kserve_server},
    {"GET", "/v2/health/live", Access::kPublic, Body::kNone, false, false, kserve_live},
    {"GET", "/v2/health/ready", Access::kPublic, Body::kNone, false, false, kserve_ready},
    {"GET", "/v2/models/{model}", Access::kKey, Body::kNone, true, false, kserve_model},
    {"POST",
     "/v2/repository/index",
     Access::kKey,
     Body::kJson,
     true,
     false,
     kserve_repository_index},
    {"GET", "/v2/models/{model}/ready", Access::kKey, Body::kNone, true, false, kserve_model_ready},
    {"GET",
     "/v2/models/{model}/config",
     Access::kKey,
     Body::kNone,
     true,
     false,
     kserve_model_config},
    {"GET", "/v2/models/{model}/stats", Access::kKey, Body::kNone, true, false, kserve_model_stats},
    {"POST", "/v2/models/{model}/infer", Access::kKey, Body::kTensors, true, true, kserve_infer},
    {"POST", "/v2/models/{model}/generate", Access::kKey, Body::kJson, true, true, kserve_generate},
    {"POST",
     "/v2/models/{model}/generate_stream",
     Access::kKey,
     Body::kJson,
     true,
     true,
     kserve_generate_stream},
    {"GET", "/v2/models/{model}/versions/1", Access::kKey, Body::kNone, true, false, kserve_model},
    {"GET",
     "/v2/models/{model}/versions/1/ready",
     Access::kKey,
     Body::kNone,
     true,
     false,
     kserve_model_ready},
    {"GET",
     "/v2/models/{model}/versions/1/config",
     Access::kKey,
     Body::kNone,
     true,
     false,
     kserve_model_config},
    {"GET",
     "/v2/models/{model}/versions/1/stats",
     Access::kKey,
     Body::kNone,
     true,
     false,
     kserve_model_stats},
    {"POST",
     "/v2/models/{model}/versions/1/infer",
     Access::kKey,
     Body::kTensors,
     true,
     true,
     kserve_infer},
    {"POST",
     "/v2/models/{model}/versions/1/generate",
     Access::kKey,
     Body::kJson,
     true,
     true,
     kserve_generate},
    {"POST",
     "/v2/models/{model}/versions/1/generate_stream",
     Access::kKey,
     Body::kJson,
     true,
     true,
     kserve_generate_stream},
};

}  // namespace

std::span<const Route> routes() {
  return kRoutes;
}

void respond_error(const ExchangePtr& exchange, const Fault& fault) {
  exchange->respond(error_response(wire_of(exchange->request().path), fault));
}

void respond_error(const ExchangePtr& exchange, const Error& error) {
  respond_error(exchange, fault_of(error));
}

Result<void> check_model(std::string_view name, const Model& model) {
  if (model.serves(name)) return {};
  for (const std::string& served : model.names) {
    if (!name.starts_with(served + "/")) continue;
    const std::string_view behind = name.substr(served.size());
    return base::not_found(
        fmt::format("path '{}' is none of model '{}'", behind.substr(0, 200), served));
  }
  return base::not_found(
      fmt::format("model '{}' is not served here, '{}' is", name.substr(0, 200), model.name()));
}

}  // namespace tokamak::server
