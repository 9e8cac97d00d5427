// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openapi.h"

#include <algorithm>
#include <cmath>

#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/openai_fields.h"
#include "tokamak/server/routes/routes.h"

namespace tokamak::server {
namespace {

Json typed(std::string_view type) {
  return {{"type", type}};
}
Json list_of(Json items) {
  return {{"type", "array"}, {"items", std::move(items)}};
}
Json one_of(std::vector<Json> schemas) {
  return {{"anyOf", std::move(schemas)}};
}

Json in_range(std::string_view type, const ValueKind& kind) {
  constexpr double kExact = 9007199254740992;  // Up to here doubles have every integer.
  Json out = {{"type", {type, "null"}}};
  if (kind.low >= -kExact) out["minimum"] = kind.low;
  if (kind.high <= kExact) out["maximum"] = kind.high;
  return out;
}

Json schema_of(const ValueKind& kind) {
  switch (kind.type) {
    case ValueKind::kAny:
      return Json::object();
    case ValueKind::kBoolean:
      return {{"type", {"boolean", "null"}}};
    case ValueKind::kInteger:
      return in_range("integer", kind);
    case ValueKind::kNumber:
      return in_range("number", kind);
    case ValueKind::kText:
      return {{"type", {"string", "null"}}};
    case ValueKind::kTexts:
      return one_of({typed("string"), list_of(typed("string")), typed("null")});
    case ValueKind::kIds:
      return one_of({list_of({{"type", "integer"}, {"minimum", 0}}), typed("null")});
    case ValueKind::kObject:
      return {{"type", {"object", "null"}}};
    case ValueKind::kList:
      return {{"type", {"array", "null"}}};
  }
  return Json::object();
}

/// A refused field has the values that ask for nothing.
Json schema_of_refused(bool (*asks_for_nothing)(const Json&), std::string_view reason) {
  Json values = Json::array({nullptr});
  for (const Json& value : {Json(false),
                            Json(true),
                            Json(0),
                            Json(1),
                            Json(""),
                            Json("none"),
                            Json("auto"),
                            Json::array(),
                            Json::object(),
                            Json({{"type", "text"}}),
                            Json::array({"text"})}) {
    if (asks_for_nothing(value)) values.push_back(value);
  }
  Json out = {{"enum", std::move(values)}};
  out["description"] = reason.empty() ? "not supported" : fmt::format("not supported: {}", reason);
  return out;
}

Json text_or_ids() {
  const Json ids = list_of({{"type", "integer"}, {"minimum", 0}});
  return one_of({typed("string"), list_of(typed("string")), ids, list_of(ids)});
}

Json messages_schema() {
  Json message = {{"type", "object"}, {"required", {"role"}}};
  message["properties"]["role"] = typed("string");
  message["properties"]["content"] =
      one_of({typed("string"), list_of(typed("object")), typed("null")});
  Json out = list_of(std::move(message));
  out["minItems"] = 1;
  return out;
}

Json field_schema(const FieldRule& rule) {
  if (rule.name == "prompt") return text_or_ids();
  if (rule.name == "messages") return messages_schema();
  if (rule.use == Use::kRefused) return schema_of_refused(rule.asks_for_nothing, rule.reason);
  Json out = schema_of(rule.kind);
  if (rule.use == Use::kNoEffect) out["description"] = fmt::format("no effect: {}", rule.reason);
  return out;
}

Json fields_body(Endpoint endpoint) {
  Json out = typed("object");
  for (const FieldRule& rule : field_rules()) {
    if (endpoint == Endpoint::kChat ? rule.chat : rule.completions)
      out["properties"][std::string(rule.name)] = field_schema(rule);
  }
  out["required"] = {endpoint == Endpoint::kChat ? "messages" : "prompt"};
  return out;
}

Json datatype_schema(std::string_view datatype) {
  if (datatype == "BYTES") return typed("string");
  if (datatype == "BOOL") return typed("boolean");
  if (datatype.starts_with("FP")) return typed("number");
  if (datatype.empty()) return Json::object();
  return typed("integer");
}

Json parameter_schema(const ParameterRule& rule) {
  if (rule.use == Use::kRefused) return schema_of_refused(rule.asks_for_nothing, rule.reason);
  const Json one = datatype_schema(rule.datatype);
  Json out = one_of({one, rule.is_list ? list_of(one) : one, typed("null")});
  if (rule.use == Use::kNoEffect) out["description"] = fmt::format("no effect: {}", rule.reason);
  return out;
}

/// Parameters beside `own` and in "parameters".
Json parameters_body(Json own, std::vector<std::string_view> required) {
  Json parameters = {{"type", {"object", "null"}}, {"additionalProperties", false}};
  for (const ParameterRule& rule : parameter_rules()) {
    const Json schema = parameter_schema(rule);
    parameters["properties"][std::string(rule.name)] = schema;
    if (!own.contains(rule.name)) own[std::string(rule.name)] = schema;
  }
  own["parameters"] = std::move(parameters);
  return {{"type", "object"},
          {"properties", std::move(own)},
          {"required", std::move(required)},
          {"additionalProperties", false}};
}

Json generate_body() {
  return parameters_body(
      {{"text_input", typed("string")}, {"id", typed("string")}, {"stream", typed("boolean")}},
      {"text_input"});
}

Json predict_body() {
  return parameters_body({{"prompt", one_of({typed("string"), list_of(typed("string"))})},
                          {"instances", list_of(one_of({typed("string"), typed("object")}))},
                          {"streaming", typed("boolean")},
                          {"stream", typed("boolean")}},
                         {});
}

Json infer_body() {
  Json tensor = {{"type", "object"}, {"required", {"name", "datatype", "shape"}}};
  tensor["properties"] = {{"name", typed("string")},
                          {"datatype", typed("string")},
                          {"shape", list_of(typed("integer"))},
                          {"data", typed("array")},
                          {"parameters", typed("object")}};
  Json properties = {{"id", typed("string")},
                     {"inputs", list_of(std::move(tensor))},
                     {"outputs", list_of(typed("object"))},
                     {"parameters", typed("object")}};
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", {"inputs"}}};
}

Json tokenize_body() {
  Json out = fields_body(Endpoint::kChat);
  out["properties"]["prompt"] = typed("string");
  out["properties"]["return_token_strs"] = typed("boolean");
  out.erase("required");
  return out;
}

Json detokenize_body() {
  Json properties = {{"tokens", list_of({{"type", "integer"}, {"minimum", 0}})},
                     {"model", typed("string")},
                     {"skip_special_tokens", typed("boolean")}};
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", {"tokens"}}};
}

struct BodyOf {
  void (*handle)(Service&, const std::shared_ptr<Exchange>&);
  Json (*schema)();
};

constexpr BodyOf kBodies[] = {{completions, [] { return fields_body(Endpoint::kCompletions); }},
                              {chat_completions, [] { return fields_body(Endpoint::kChat); }},
                              {tokenize, tokenize_body},
                              {detokenize, detokenize_body},
                              {predict, predict_body},
                              {kserve_infer, infer_body},
                              {kserve_generate, generate_body},
                              {kserve_generate_stream, generate_body}};

Json body_schema(const Route& route) {
  for (const BodyOf& body : kBodies) {
    if (body.handle == route.handle) return body.schema();
  }
  return typed("object");
}

/// "get_v1_models_model"
std::string operation_id(const Route& route) {
  std::string id = route.method == "GET" ? "get" : "post";
  for (char c : route.path) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      id += c;
    } else if (id.back() != '_') {
      id += '_';
    }
  }
  while (id.back() == '_') id.pop_back();
  return id;
}

Json error_schema(const Route& route) {
  const Json error = {{"$ref", "#/components/schemas/Error"}};
  if (wire_of(route.path) == Wire::kOpenAi) return error;
  // What is no HTTP request is refused before its path is known.
  return one_of({{{"$ref", "#/components/schemas/KServeError"}}, error});
}

Json operation(const Route& route, const Model* model) {
  Json out = {{"operationId", operation_id(route)}};
  if (route.path.find("{model}") != std::string_view::npos) {
    Json name = typed("string");
    if (model) name["enum"] = model->names;
    out["parameters"] = Json::array(
        {{{"name", "model"}, {"in", "path"}, {"required", true}, {"schema", std::move(name)}}});
  }
  if (route.body != Body::kNone) {
    out["requestBody"]["content"]["application/json"]["schema"] = body_schema(route);
    out["requestBody"]["required"] = route.handle != kserve_repository_index;
  }
  out["responses"]["200"] = {{"description", "the answer"}};
  out["responses"]["default"] = {{"description", "what went wrong"}};
  out["responses"]["default"]["content"]["application/json"]["schema"] = error_schema(route);
  if (route.access == Access::kPublic) out["security"] = Json::array();
  return out;
}

Json error_schemas() {
  Json error = {{"type", "object"}, {"required", {"message", "type", "param", "code"}}};
  error["properties"] = {{"message", typed("string")},
                         {"type", typed("string")},
                         {"param", {{"type", {"string", "null"}}}},
                         {"code", {{"type", {"string", "null"}}}}};
  Json out;
  out["Error"] = {{"type", "object"},
                  {"properties", {{"error", std::move(error)}}},
                  {"required", Json::array({"error"})}};
  out["KServeError"] = {{"type", "object"},
                        {"properties", {{"error", typed("string")}}},
                        {"required", Json::array({"error"})}};
  return out;
}

}  // namespace

Json openapi_of(std::span<const Route> routes, const Model* model) {
  Json paths = Json::object();
  for (const Route& route : routes) {
    const char* method = route.method == "GET" ? "get" : "post";
    paths[std::string(route.path)][method] = operation(route, model);
  }
  Json out = {{"openapi", "3.1.0"}, {"info", {{"title", "Tokamak"}, {"version", TOKAMAK_VERSION}}}};
  out["paths"] = std::move(paths);
  out["components"]["schemas"] = error_schemas();
  out["components"]["securitySchemes"]["key"] = {{"type", "http"}, {"scheme", "bearer"}};
  out["security"] = Json::array({{{"key", Json::array()}}});
  return out;
}

}  // namespace tokamak::server
