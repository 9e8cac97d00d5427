// SPDX-License-Identifier: Apache-2.0
// The handlers, one file an endpoint; routes.cpp is the table of their paths.
#pragma once

#include "tokamak/server/errors.h"
#include "tokamak/server/router.h"

namespace tokamak::server {

using ExchangePtr = std::shared_ptr<Exchange>;

// page.cpp
void page(Service& service, const ExchangePtr& exchange);
// health.cpp
void health(Service& service, const ExchangePtr& exchange);
void ping(Service& service, const ExchangePtr& exchange);
// version.cpp
void version(Service& service, const ExchangePtr& exchange);
// load.cpp
void load(Service& service, const ExchangePtr& exchange);
// openapi.cpp
void openapi(Service& service, const ExchangePtr& exchange);
// metrics.cpp
void metrics(Service& service, const ExchangePtr& exchange);
// models.cpp
void list_models(Service& service, const ExchangePtr& exchange);
void describe_model(Service& service, const ExchangePtr& exchange);
// completions.cpp
void completions(Service& service, const ExchangePtr& exchange);
// chat_completions.cpp
void chat_completions(Service& service, const ExchangePtr& exchange);
// tokenize.cpp
void tokenize(Service& service, const ExchangePtr& exchange);
void detokenize(Service& service, const ExchangePtr& exchange);
void tokenizer_info(Service& service, const ExchangePtr& exchange);
// predict.cpp
void predict(Service& service, const ExchangePtr& exchange);
// kserve.cpp
void kserve_server(Service& service, const ExchangePtr& exchange);
void kserve_live(Service& service, const ExchangePtr& exchange);
void kserve_ready(Service& service, const ExchangePtr& exchange);
void kserve_model(Service& service, const ExchangePtr& exchange);
void kserve_model_ready(Service& service, const ExchangePtr& exchange);
void kserve_model_config(Service& service, const ExchangePtr& exchange);
void kserve_model_stats(Service& service, const ExchangePtr& exchange);
void kserve_repository_index(Service& service, const ExchangePtr& exchange);
// infer.cpp
void kserve_infer(Service& service, const ExchangePtr& exchange);
// generate.cpp
void kserve_generate(Service& service, const ExchangePtr& exchange);
void kserve_generate_stream(Service& service, const ExchangePtr& exchange);

/// Answers with what went wrong, in the shape of the request's path.
void respond_error(const ExchangePtr& exchange, const Fault& fault);
void respond_error(const ExchangePtr& exchange, const Error& error);
/// Errors: not_found. `name` may come from a path: what stands behind a served model's name there
/// is said to be no path.
Result<void> check_model(std::string_view name, const Model& model);

}  // namespace tokamak::server
