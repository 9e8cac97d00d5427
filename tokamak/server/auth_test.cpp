// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/auth.h"

#include <gtest/gtest.h>

#include "tokamak/base/file.h"
#include "tokamak/server/router.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

HttpRequest with_header(const std::string& name, const std::string& value) {
  HttpRequest request;
  request.headers = {{name, value}};
  return request;
}

TEST(Auth, KnowsEachOfItsKeys) {
  const Auth auth({"first", "second"});
  EXPECT_TRUE(auth.needed());
  EXPECT_EQ(auth.key_of(with_header("Authorization", "Bearer first")), 0);
  EXPECT_EQ(auth.key_of(with_header("authorization", "bearer  second ")), 1);
  EXPECT_EQ(auth.key_of(with_header("X-Api-Key", "second")), 1);
  EXPECT_EQ(auth.key_of(with_header("api-key", "second")), 1);
  for (const char* wrong : {"",
                            "Bearer",
                            "Bearer ",
                            "Bearer firs",
                            "Bearer firstt",
                            "first",
                            "Basic first",
                            "Bearer FIRST"}) {
    EXPECT_EQ(auth.key_of(with_header("Authorization", wrong)), std::nullopt) << wrong;
  }
  EXPECT_EQ(auth.key_of(HttpRequest()), std::nullopt);
  EXPECT_FALSE(Auth(std::vector<std::string>()).needed());
}

TEST(Auth, KeepsTheNumbersOfItsKeysWhenOthersCome) {
  const auto number = [](const Auth& auth, const std::string& key) {
    return auth.key_of(with_header("X-Api-Key", key));
  };
  const Auth first({"a", "b"});
  const Auth second = first.with_keys({"c", "b"});
  EXPECT_EQ(number(second, "a"), std::nullopt);
  EXPECT_EQ(number(second, "b"), 1);
  EXPECT_EQ(number(second, "c"), 2);
  const Auth third = second.with_keys({"a", "d"});
  EXPECT_EQ(number(third, "a"), 0);
  EXPECT_EQ(number(third, "d"), 3);
}

TEST(Auth, TakesOtherKeysWhileItServes) {
  TestServer::Setup setup;
  setup.server.api_keys = {"old", "kept"};
  setup.step_time = 2ms;
  TestServer test(setup);
  const auto status = [&](std::string_view key) {
    return test.ask("GET", "/v1/models", "", fmt::format("X-Api-Key: {}\r\n", key)).status;
  };
  Client stream(test.server->port());
  stream.send(request_text("POST",
                           "/v1/completions",
                           R"({"prompt":"a","max_tokens":100,"stream":true})",
                           "X-Api-Key: old\r\n"));
  ASSERT_TRUE(stream.read_some());
  ASSERT_TRUE(test.server->reload({"kept", "new"}).ok());
  EXPECT_EQ(status("old"), 401);
  EXPECT_EQ(status("kept"), 200);
  EXPECT_EQ(status("new"), 200);
  EXPECT_EQ(stream.read_answer().events().back(), "[DONE]") << "what runs goes on";
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{},
                                                std::vector<std::string>{""},
                                                std::vector<std::string>{"a b"}}) {
    EXPECT_FALSE(test.server->reload(wrong).ok());
    EXPECT_EQ(status("new"), 200) << "nothing changed";
    EXPECT_EQ(test.get("/v1/models").status, 401);
  }
}

TEST(Auth, ReadsKeysFromAFile) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("keys_{}", ::getpid());
  ASSERT_TRUE(base::write_file_atomic(file, "# ours\n one \n\ntwo\r\n").ok());
  EXPECT_EQ(read_key_file(file).value(), (std::vector<std::string>{"one", "two"}));
  ASSERT_TRUE(base::write_file_atomic(file, "# none\n").ok());
  EXPECT_FALSE(read_key_file(file).ok());
  std::filesystem::remove(file);
  EXPECT_FALSE(read_key_file(file).ok());
}

/// A path of the route's form.
std::string example_of(std::string_view pattern) {
  std::string path(pattern);
  if (const size_t hole = path.find("{model}"); hole != std::string::npos) {
    path.replace(hole, 7, "fake");
  }
  return path;
}

TEST(Auth, GuardsEveryRouteButThePublicOnes) {
  TestServer::Setup setup;
  setup.server.api_keys = {"key", "other"};
  TestServer test(setup);
  const std::set<std::string_view> open = {
      "/", "/health", "/ping", "/v2/health/live", "/v2/health/ready"};
  for (const Route& route : routes()) {
    SCOPED_TRACE(fmt::format("{} {}", route.method, route.path));
    const std::string path = example_of(route.path);
    const std::string body = route.method == "POST" ? "{}" : "";
    EXPECT_EQ(route.access == Access::kPublic, open.contains(route.path));
    const int without = test.ask(route.method, path, body).status;
    const int wrong = test.ask(route.method, path, body, "Authorization: Bearer no\r\n").status;
    const int right = test.ask(route.method, path, body, "Authorization: Bearer key\r\n").status;
    const int second = test.ask(route.method, path, body, "X-Api-Key: other\r\n").status;
    EXPECT_EQ(without == 401, route.access == Access::kKey);
    EXPECT_EQ(wrong == 401, route.access == Access::kKey);
    EXPECT_NE(right, 401);
    EXPECT_NE(second, 401);
  }
  auto answer = test.get("/v1/models");
  EXPECT_EQ(answer.headers["www-authenticate"], "Bearer");
  EXPECT_EQ(answer.json()["error"]["code"], "invalid_api_key");
  EXPECT_EQ(test.get("/no/such/path").status, 401);
  EXPECT_TRUE(test.get("/v2").json()["error"].is_string());
}

TEST(Auth, KeepsCachedPagesOfKeysApart) {
  TestServer::Setup setup;
  setup.server.api_keys = {"key", "other"};
  TestServer test(setup);
  const std::string body = Json({{"prompt", std::string(200, 'a')}, {"max_tokens", 1}}).dump();
  auto cached = [&](std::string_view key) {
    auto answer =
        test.ask("POST", "/v1/completions", body, fmt::format("Authorization: Bearer {}\r\n", key));
    return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>();
  };
  EXPECT_EQ(cached("key"), 0);
  EXPECT_GT(cached("key"), 0);
  EXPECT_EQ(cached("other"), 0);
}

}  // namespace
}  // namespace tokamak::server
