// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/paths.h"

#include <gtest/gtest.h>

#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

TEST(Paths, OfProxiesAndAzureAreThoseOfTheRoutes) {
  const auto path = [](std::string_view path, std::string_view root = "") {
    const RoutePath found = route_path(path, root);
    return found.model.empty() ? found.path : found.path + " of " + found.model;
  };
  EXPECT_EQ(path("/"), "/");
  EXPECT_EQ(path("/v1/models/"), "/v1/models");
  EXPECT_EQ(path("/v1/models///"), "/v1/models");
  EXPECT_EQ(path("/llm/v1/models", "/llm"), "/v1/models");
  EXPECT_EQ(path("/llm", "/llm"), "/");
  EXPECT_EQ(path("/llm/", "/llm"), "/");
  EXPECT_EQ(path("/v1/models", "/llm"), "/v1/models") << "the proxy may take the prefix away";
  EXPECT_EQ(path("/llmv1/models", "/llm"), "/llmv1/models");
  EXPECT_EQ(path("/openai/v1/chat/completions"), "/v1/chat/completions");
  EXPECT_EQ(path("/openai/deployments/a/chat/completions"), "/v1/chat/completions of a");
  EXPECT_EQ(path("/openai/deployments/org/a/completions/"), "/v1/completions of org/a");
  EXPECT_EQ(path("/openai/deployments//completions"), "/openai/deployments//completions");
  EXPECT_EQ(path("/openai/deployments/a/other"), "/openai/deployments/a/other");
}

TEST(Paths, OfRequestsAreTakenInEachOfTheirForms) {
  TestServer::Setup setup;
  setup.server.root_path = "/llm";
  TestServer test(setup);
  const Json body = {{"prompt", "hi"}, {"max_tokens", 2}};
  for (const char* path : {"/v1/completions",
                           "/v1/completions/",
                           "/completions",
                           "/completions/",
                           "/llm/v1/completions",
                           "/llm/completions",
                           "/openai/v1/completions",
                           "/openai/deployments/fake/completions?api-version=2024-10-21"}) {
    EXPECT_EQ(test.post(path, body).status, 200) << path;
  }
  EXPECT_EQ(test.get("/llm/").status, 200);
  EXPECT_EQ(test.get("/models").json()["data"][0]["id"], "fake");
  EXPECT_EQ(test.get("/models/alias").json()["id"], "alias");
  EXPECT_EQ(test.get("/health/").status, 200);
  EXPECT_TRUE(test.get("/llm/v2/nothing").json()["error"].is_string());
  EXPECT_EQ(test.get("/v2/completions").status, 404);
  EXPECT_EQ(test.get("/other").status, 404);
}

TEST(Paths, OfDeploymentsNameTheModel) {
  TestServer test;
  // Clients of Azure's put a name of their own into the body.
  const Json body = {{"prompt", "hi"}, {"max_tokens", 2}, {"model", "gpt-4o"}};
  Answer answer = test.post("/openai/deployments/alias/completions", body);
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["model"], "alias");
  answer = test.post("/openai/deployments/other/completions", body);
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.json()["error"]["code"], "model_not_found");
}

}  // namespace
}  // namespace tokamak::server
