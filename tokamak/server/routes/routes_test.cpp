// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tokamak/server/router.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

std::string error_code(const Answer& answer) {
  Json json = answer.json();
  return json.is_object() && json["error"].is_object() && json["error"]["code"].is_string()
             ? json["error"]["code"].get<std::string>()
             : "";
}

TEST(Routes, SayHowTheServerIs) {
  TestServer::Setup setup;
  setup.load = false;
  TestServer test(setup);
  for (const char* path : {"/health", "/ping", "/v2/health/ready"}) {
    auto answer = test.get(path);
    EXPECT_EQ(answer.status, 503) << path;
    EXPECT_TRUE(answer.headers.contains("retry-after")) << path;
  }
  EXPECT_EQ(test.get("/v2/health/live").status, 200);
  EXPECT_EQ(test.get("/version").status, 200);
  EXPECT_EQ(test.get("/metrics").status, 200);
  auto early = test.post("/v1/completions", {{"prompt", "a"}});
  EXPECT_EQ(early.status, 503);
  EXPECT_EQ(early.json()["error"]["message"], "the model is being loaded");
  test.load();
  for (const char* path : {"/health", "/ping", "/v2/health/ready", "/v2/health/live"}) {
    EXPECT_EQ(test.get(path).status, 200) << path;
  }
}

TEST(Routes, ShowPeopleAPageThatLoadsNothingFromElsewhere) {
  TestServer test;
  auto page = test.get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.headers["content-type"], "text/html; charset=utf-8");
  EXPECT_TRUE(page.headers["content-security-policy"].starts_with("default-src 'none'"));
  EXPECT_TRUE(page.body.starts_with("<!doctype html>"));
  EXPECT_TRUE(page.body.ends_with("</html>\n"));
  for (const char* outside : {"src=", "@import", "url(", "href=\"http"})
    EXPECT_EQ(page.body.find(outside), std::string::npos) << outside;
}

TEST(Routes, ListTheModel) {
  TestServer test;
  Json list = test.get("/v1/models").json();
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"][0]["id"], "fake");
  EXPECT_EQ(list["data"][1]["id"], "alias");
  EXPECT_EQ(list["data"][1]["root"], "fake");
  EXPECT_EQ(list["data"][0]["max_model_len"], 512);
  EXPECT_EQ(test.get("/v1/models/alias").json()["id"], "alias");
  auto unknown = test.get("/v1/models/org/other");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(error_code(unknown), "model_not_found");
  auto wrong = test.post("/v1/completions", {{"prompt", "a"}, {"model", "other"}});
  EXPECT_EQ(wrong.status, 404);
  EXPECT_EQ(wrong.json()["error"]["param"], "model");
}

TEST(Routes, TurnTextIntoTokensAndBack) {
  TestServer test;
  Json tokens = test.post("/tokenize", {{"prompt", "ab"}, {"return_token_strs", true}}).json();
  EXPECT_EQ(tokens["tokens"], Json({'a' - ' ', 'b' - ' '}));
  EXPECT_EQ(tokens["count"], 2);
  EXPECT_EQ(tokens["max_model_len"], 512);
  EXPECT_EQ(tokens["token_strs"], Json({"a", "b"}));
  Json messages = {{{"role", "user"}, {"content", "x"}}};
  EXPECT_EQ(test.post("/tokenize", {{"messages", messages}}).json()["count"], 18);
  EXPECT_EQ(test.post("/detokenize", {{"tokens", {65, 66}}}).json()["prompt"], "ab");
  EXPECT_EQ(test.post("/detokenize", {{"tokens", {65, 966}}}).status, 400);
  EXPECT_EQ(test.post("/detokenize", {{"tokens", "ab"}}).status, 400);
  EXPECT_EQ(test.post("/tokenize", Json::object()).status, 400);
}

TEST(Routes, TellWhatClientsAdaptTo) {
  TestServer test;
  EXPECT_EQ(test.get("/load").json(), Json({{"server_load", 0}}));
  Json info = test.get("/tokenizer_info").json();
  EXPECT_EQ(info["vocab_size"], kVocab);
  EXPECT_EQ(info["model_max_length"], 512);
  EXPECT_EQ(info["bos_token"], nullptr);
  EXPECT_TRUE(info["chat_template"].get<std::string>().starts_with("{% for m in messages %}"));
  Json completion = test.post("/v1/completions", {{"prompt", "a"}}).json();
  EXPECT_EQ(completion["system_fingerprint"], "fp_unknown");
}

TEST(Routes, RefuseWithTheRightStatus) {
  TestServer test;
  EXPECT_EQ(error_code(test.get("/nothing")), "unknown_path");
  EXPECT_EQ(test.get("/v1/models:x").status, 404);
  for (const Route& route : routes()) {
    SCOPED_TRACE(fmt::format("{} {}", route.method, route.path));
    std::string path(route.path);
    if (size_t hole = path.find("{model}"); hole != std::string::npos)
      path.replace(hole, 7, "fake");
    auto answer = test.ask("DELETE", path);
    EXPECT_EQ(answer.status, 405);
    EXPECT_NE(answer.headers["allow"].find(route.method), std::string::npos);
    if (route.body == Body::kNone) continue;
    EXPECT_EQ(test.ask("POST", path, "{", "").status, 400);
    EXPECT_EQ(test.ask("POST", path, "[]", "").status, 400);
    EXPECT_EQ(test.ask("POST", path, "a=b", "Content-Type: text/plain\r\n").status, 415);
    EXPECT_EQ(test.ask("POST", path, "{}", "Content-Encoding: br\r\n").status, 415);
    EXPECT_EQ(test.ask("POST", path, "{}", "Content-Encoding: gzip\r\n").status, 400);
    EXPECT_EQ(test.ask("POST", path, R"({"model":1,"model":2})", "").status, 400);
    EXPECT_EQ(test.ask("POST", path, "{\"prompt\":\"\xff\"}", "").status, 400);
    const std::string deep = "{\"prompt\":" + std::string(500, '[') + std::string(500, ']') + "}";
    EXPECT_EQ(test.ask("POST", path, deep, "").status, 400);
  }
  EXPECT_TRUE(test.get("/v2/nothing").json()["error"].is_string());
}

TEST(Routes, SayThatTheQueueIsFull) {
  TestServer::Setup setup;
  setup.executor.max_running = 1;
  setup.executor.max_queue = 1;
  setup.step_time = 5ms;
  TestServer test(setup);
  const std::string body = Json({{"prompt", "a"}, {"max_tokens", 300}, {"stream", true}}).dump();
  Client running(test.server->port()), waiting(test.server->port());
  running.send(request_text("POST", "/v1/completions", body));
  ASSERT_TRUE(eventually([&] { return test.executor->stats().running == 1; }));
  waiting.send(request_text("POST", "/v1/completions", body));
  ASSERT_TRUE(eventually([&] { return test.executor->stats().waiting == 1; }));
  auto refused = test.post("/v1/completions", {{"prompt", "a"}});
  EXPECT_EQ(refused.status, 429) << refused.body;
  EXPECT_TRUE(refused.headers.contains("retry-after"));
  EXPECT_EQ(refused.json()["error"]["type"], "rate_limit_error");
  auto kserve = test.post("/v2/models/fake/generate", {{"text_input", "a"}});
  EXPECT_EQ(kserve.status, 429);
  EXPECT_TRUE(kserve.json()["error"].is_string());
}

TEST(Routes, DrainWithoutCuttingAnAnswer) {
  TestServer::Setup setup;
  setup.step_time = 2ms;
  TestServer test(setup);
  Client client(test.server->port());
  client.send(
      request_text("POST",
                   "/v1/completions",
                   Json({{"prompt", "hello"}, {"max_tokens", 200}, {"stream", true}}).dump()));
  ASSERT_TRUE(client.read_some());
  std::atomic<bool> drained{false};
  std::thread drain([&] { drained = test.server->drain(20s); });
  ASSERT_TRUE(eventually([&] { return test.get("/health").status == 503; }));
  auto refused = test.post("/v1/completions", {{"prompt", "a"}});
  EXPECT_EQ(refused.status, 503);
  EXPECT_TRUE(refused.headers.contains("retry-after"));
  EXPECT_EQ(refused.json(),
            Json({{"error",
                   {{"message", "the server is shutting down"},
                    {"type", "service_unavailable_error"},
                    {"param", nullptr},
                    {"code", "unavailable"}}}}));
  Json chat = {{"messages", {{{"role", "user"}, {"content", "a"}}}}, {"stream", true}};
  EXPECT_EQ(test.post("/v1/chat/completions", chat).json(), refused.json());
  auto kserve = test.post("/v2/models/fake/generate", {{"text_input", "a"}});
  EXPECT_EQ(kserve.status, 503);
  EXPECT_EQ(kserve.json(), Json({{"error", "the server is shutting down"}}));
  Answer answer = client.read_answer();
  drain.join();
  EXPECT_TRUE(drained);
  EXPECT_EQ(answer.events().back(), "[DONE]");
  std::string text;
  for (const std::string& event : answer.events()) {
    if (event != "[DONE]") text += Json::parse(event)["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(text, TestServer::expected("hello", 200));
}

TEST(Routes, StopDrainingWhenToldTo) {
  TestServer::Setup setup;
  setup.step_time = 5ms;
  TestServer test(setup);
  Client client(test.server->port());
  client.send(request_text("POST",
                           "/v1/completions",
                           Json({{"prompt", "a"}, {"max_tokens", 400}, {"stream", true}}).dump()));
  ASSERT_TRUE(client.read_some());
  EXPECT_FALSE(test.server->drain(50ms));
  EXPECT_FALSE(test.server->drain(20s, [] { return true; }));
  test.server->stop();
  EXPECT_TRUE(client.closed_by_server());
  EXPECT_TRUE(test.becomes_idle());
}

// The step loop's thread may be about to announce a token when all else lets go of the executor.
TEST(Routes, StopInTheMiddleOfAnswers) {
  const std::string request = request_text(
      "POST",
      "/v1/completions",
      Json({{"prompt", "a"}, {"max_tokens", 400}, {"stream", true}, {"ignore_eos", true}}).dump());
  for (int round = 0; round < 100; ++round) {
    auto test = std::make_unique<TestServer>();
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(std::make_unique<Client>(test->server->port()));
      clients.back()->send(request);
    }
    ASSERT_TRUE(clients.back()->read_some());
    std::weak_ptr<executor::Executor> executor = test->executor;
    test.reset();
    EXPECT_TRUE(executor.expired()) << "round " << round;
    EXPECT_TRUE(clients.front()->closed_by_server());
  }
}

}  // namespace
}  // namespace tokamak::server
