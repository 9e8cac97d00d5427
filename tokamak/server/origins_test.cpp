// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/origins.h"

#include <gtest/gtest.h>

#include "tokamak/server/router.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

TEST(Origins, AreSchemeHostAndPort) {
  for (const char* right : {"*",
                            "https://a.example",
                            "http://localhost:3000",
                            "http://[::1]:80",
                            "chrome-extension://abcdef"}) {
    EXPECT_TRUE(Origins::validate(right).ok()) << right;
  }
  for (const char* wrong : {"", "a.example", "https://", "https://a/", "https://a/b", "null"}) {
    EXPECT_FALSE(Origins::validate(wrong).ok()) << wrong;
  }
}

TEST(Origins, OfThisMachineAreAlwaysAllowed) {
  const Origins none({}, {});
  for (const char* own : {"http://localhost",
                          "http://localhost:5173",
                          "https://127.0.0.1:8443",
                          "http://127.1.2.3",
                          "http://[::1]:3000",
                          "http://app.localhost:80"}) {
    EXPECT_TRUE(none.allows(own)) << own;
  }
  for (const char* other : {"http://evil.example",
                            "http://localhost.evil.example",
                            "null",
                            "",
                            "http://192.168.1.7",
                            "http://evil.example/localhost",
                            "http://localhost@evil.example",
                            "http://notlocalhost"}) {
    EXPECT_FALSE(none.allows(other)) << other;
  }
  EXPECT_TRUE(Origins({"https://Chat.example"}, {}).allows("https://chat.example"));
  EXPECT_FALSE(Origins({"https://chat.example"}, {}).allows("http://chat.example"));
  EXPECT_TRUE(Origins({"*"}, {}).allows("null"));
}

TEST(Origins, KnowThisMachineByAddressesAndPlainNames) {
  const Origins origins({}, {"llm.example.com"});
  for (const char* own : {"",
                          "localhost",
                          "a.localhost",
                          "127.0.0.1",
                          "192.168.1.7",
                          "::1",
                          "box",
                          "LLM.example.com"}) {
    EXPECT_TRUE(origins.knows_host(own)) << own;
  }
  for (const char* other :
       {"evil.example", "127.0.0.1.evil.example", "example.com", "localhost.evil"}) {
    EXPECT_FALSE(origins.knows_host(other)) << other;
  }
  EXPECT_TRUE(Origins({}, {"*"}).knows_host("evil.example"));
}

std::string from(std::string_view origin) {
  return fmt::format("Origin: {}\r\n", origin);
}

TEST(Pages, OfElsewhereCannotUseALoopbackServerWithoutKeys) {
  TestServer test;
  const std::string body = R"({"prompt":"a","max_tokens":1})";
  const auto ask = [&](std::string_view host, std::string_view headers) {
    Client client(test.server->port());
    client.send(
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: {}\r\n{}Content-Length: {}\r\n\r\n{}",
                    host,
                    headers,
                    body.size(),
                    body));
    return client.read_answer();
  };
  EXPECT_EQ(ask("127.0.0.1:8000", "").status, 200);
  EXPECT_EQ(ask("localhost", from("http://localhost:3000")).status, 200);
  EXPECT_EQ(ask("127.0.0.1", from("http://evil.example")).status, 403);
  EXPECT_EQ(ask("127.0.0.1", from("null")).status, 403);
  // Their name may lead here, too.
  const Answer rebound = ask("evil.example", from("http://evil.example"));
  EXPECT_EQ(rebound.status, 403);
  EXPECT_EQ(rebound.json()["error"]["code"], "foreign_request");
  EXPECT_EQ(ask("evil.example:80", "").status, 403);
}

TEST(Pages, OfElsewhereMayUseAServerThatAsksForKeysOrAllowsThem) {
  TestServer::Setup keys;
  keys.server.api_keys = {"key"};
  TestServer with_keys(keys);
  EXPECT_EQ(
      with_keys
          .ask("GET", "/v1/models", "", from("http://a.example") + "Authorization: Bearer key\r\n")
          .status,
      200);
  TestServer::Setup allowed;
  allowed.server.cors_origins = {"https://chat.example"};
  allowed.server.allowed_hosts = {"llm.example"};
  TestServer test(allowed);
  EXPECT_EQ(test.ask("GET", "/v1/models", "", from("https://chat.example")).status, 200);
  EXPECT_EQ(test.ask("GET", "/v1/models", "", from("https://other.example")).status, 403);
  Client client(test.server->port());
  client.send(
      "GET /v1/models HTTP/1.1\r\nHost: llm.example\r\nOrigin: https://llm.example\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 200) << "the server's own page, through a proxy";
}

TEST(Pages, ReadEveryKindOfAnswerIfTheirOriginIsAllowed) {
  TestServer::Setup setup;
  setup.server.cors_origins = {"https://chat.example"};
  setup.server.api_keys = {"key"};
  TestServer test(setup);
  const std::string origin = from("https://chat.example");
  const std::string key = origin + "Authorization: Bearer key\r\n";
  const std::string stream = R"({"prompt":"a","max_tokens":3,"stream":true})";
  const std::pair<int, Answer> answers[] = {
      {200, test.ask("GET", "/v1/models", "", key)},
      {200, test.ask("POST", "/v1/completions", stream, key)},
      {400, test.ask("POST", "/v1/completions", "{", key)},
      {401, test.ask("GET", "/v1/models", "", origin)},
      {404, test.ask("GET", "/nothing", "", key)},
      {405, test.ask("DELETE", "/v1/models", "", key)},
      {413, test.ask("POST", "/v1/completions", "", key + "Content-Length: 99999999\r\n")},
  };
  for (auto [status, answer] : answers) {
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.headers["access-control-allow-origin"], "https://chat.example") << status;
    EXPECT_EQ(answer.headers["vary"], "Origin") << status;
    EXPECT_NE(answer.headers["access-control-expose-headers"].find("X-Request-Id"),
              std::string::npos);
  }
  Answer other = test.ask(
      "GET", "/v1/models", "", from("https://other.example") + "Authorization: Bearer key\r\n");
  EXPECT_EQ(other.status, 200);
  EXPECT_FALSE(other.headers.contains("access-control-allow-origin"));
  EXPECT_EQ(other.headers["vary"], "Origin");
}

TEST(Pages, MayAskBeforeTheySendWithoutAKey) {
  TestServer::Setup setup;
  setup.server.api_keys = {"key"};
  TestServer test(setup);
  const std::string asked =
      "Access-Control-Request-Method: POST\r\n"
      "Access-Control-Request-Headers: authorization,content-type\r\n";
  Client client(test.server->port());
  for (const Route& route : routes()) {
    SCOPED_TRACE(route.path);
    client.send(request_text("OPTIONS", route.path, "", from("http://localhost:5173") + asked));
    Answer answer = client.read_answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "");
    EXPECT_EQ(answer.headers["access-control-allow-origin"], "http://localhost:5173");
    EXPECT_EQ(answer.headers["access-control-allow-headers"], "authorization,content-type");
    EXPECT_NE(answer.headers["access-control-allow-methods"].find("POST"), std::string::npos);
  }
  Client stranger(test.server->port());
  stranger.send(request_text("OPTIONS", "/v1/models", "", from("https://other.example") + asked));
  Answer answer = stranger.read_answer();
  EXPECT_FALSE(answer.headers.contains("access-control-allow-origin"));
  EXPECT_FALSE(answer.headers.contains("access-control-allow-headers"));
}

}  // namespace
}  // namespace tokamak::server
