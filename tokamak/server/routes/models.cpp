// SPDX-License-Identifier: Apache-2.0
// GET /v1/models, GET /v1/models/{model}
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

Json model_card(const Model& model, const std::string& name) {
  return {{"id", name},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "tokamak"},
          {"root", model.name()},
          {"parent", nullptr},
          {"max_model_len", model.info().max_seq_len}};
}

}  // namespace

void list_models(Service& service, const ExchangePtr& exchange) {
  auto model = service.model();
  Json cards = Json::array();
  for (const std::string& name : model->names) cards.push_back(model_card(*model, name));
  exchange->respond(json_response({{"object", "list"}, {"data", std::move(cards)}}));
}

void describe_model(Service& service, const ExchangePtr& exchange) {
  auto model = service.model();
  const std::string& name = exchange->request().model;
  if (auto status = check_model(name, *model); !status.ok()) {
    return respond_error(exchange, status.error());
  }
  exchange->respond(json_response(model_card(*model, name)));
}

}  // namespace tokamak::server
