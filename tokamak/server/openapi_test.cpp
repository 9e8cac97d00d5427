// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openapi.h"

#include <set>
#include <tuple>

#include <gtest/gtest.h>

#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/openai_fields.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

Json body_of(const Json& api, const std::string& path) {
  return api["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"];
}

TEST(OpenApi, NamesEveryRouteFieldAndParameter) {
  TestServer test;
  Json api = test.get("/openapi.json").json();
  EXPECT_EQ(api["openapi"], "3.1.0");
  std::set<std::string> operations;
  for (const Route& route : routes()) {
    Json operation = api["paths"][std::string(route.path)][route.method == "GET" ? "get" : "post"];
    ASSERT_TRUE(operation.is_object()) << route.path;
    EXPECT_TRUE(operations.insert(operation["operationId"]).second) << operation["operationId"];
    EXPECT_EQ(operation.contains("requestBody"), route.body != Body::kNone) << route.path;
  }
  for (const FieldRule& rule : field_rules()) {
    const std::string name(rule.name);
    EXPECT_EQ(body_of(api, "/v1/completions")["properties"].contains(name), rule.completions)
        << name;
    EXPECT_EQ(body_of(api, "/v1/chat/completions")["properties"].contains(name), rule.chat) << name;
  }
  for (const ParameterRule& rule : parameter_rules()) {
    for (const char* path : {"/v2/models/{model}/generate", "/v1/models/{model}:predict"})
      EXPECT_TRUE(body_of(api, path)["properties"].contains(std::string(rule.name))) << rule.name;
  }
}

/// Of refused fields it names the values that pass.
TEST(OpenApi, SaysWhichValuesOfRefusedFieldsAskForNothing) {
  TestServer test;
  Json api = test.get("/openapi.json").json();
  const Json chat = {{"messages", {{{"role", "user"}, {"content", "a"}}}}, {"max_tokens", 1}};
  const Json generate = {{"text_input", "a"}, {"max_tokens", 1}};
  int passed = 0;
  for (const auto& [path, served, good] :
       {std::tuple{"/v1/chat/completions", "/v1/chat/completions", chat},
        std::tuple{"/v2/models/{model}/generate", "/v2/models/fake/generate", generate}}) {
    const Json body_schema = body_of(api, path);
    for (const auto& [name, schema] : body_schema["properties"].items()) {
      if (!schema.contains("enum")) continue;
      for (const Json& value : schema["enum"]) {
        Json body = good;
        body[name] = value;
        auto answer = test.post(served, body);
        EXPECT_EQ(answer.status, 200) << name << value << answer.body;
        ++passed;
      }
    }
  }
  EXPECT_GT(passed, 60);
}

}  // namespace
}  // namespace tokamak::server
