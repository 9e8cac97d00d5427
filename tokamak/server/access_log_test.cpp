// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/access_log.h"

#include <gtest/gtest.h>

#include "tokamak/server/request_id.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

using namespace std::chrono_literals;

TEST(AccessLog, IsALineOfJsonARequest) {
  AccessRecord record;
  record.method = "POST";
  record.path = "/v1/completions";
  record.request_id = "abc";
  record.status = 200;
  record.bytes = 1234;
  record.took = 1500ms;
  const std::chrono::system_clock::time_point now(std::chrono::milliseconds(1'000'000'000'123));
  EXPECT_EQ(access_line(record, now),
            R"({"time":"2001-09-09T01:46:40.123Z","method":"POST","path":"/v1/completions",)"
            R"("status":200,"bytes":1234,"seconds":1.5,"request_id":"abc","key":null})"
            "\n");
  record.path = "/a\"\xff\n";
  record.key = 1;
  record.complete = false;
  const std::string line = access_line(record, now);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  const Json json = Json::parse(line);
  EXPECT_EQ(json["path"], "/a\"\xef\xbf\xbd\n");
  EXPECT_EQ(json["key"], 1);
  EXPECT_EQ(json["complete"], false);
}

TEST(AccessLog, NamesEveryRequestThatEnded) {
  TestServer::Setup setup;
  setup.server.log_requests = true;
  setup.server.api_keys = {"secret-0", "secret-1"};
  setup.step_time = 2ms;
  testing::internal::CaptureStderr();
  {
    TestServer test(setup);
    const std::string key = "Authorization: Bearer secret-1\r\n";
    test.ask("GET", "/v1/models?token=secret", "", key + "X-Request-Id: mine\r\n");
    test.ask("POST", "/v1/completions", R"({"prompt":"a","max_tokens":2,"stream":true})", key);
    test.get("/nothing");
    Client gone(test.server->port());
    gone.send(request_text("POST", "/v1/completions", R"({"prompt":"a","max_tokens":400})", key));
    ASSERT_TRUE(eventually([&] { return test.executor->stats().running > 0; }));
    gone.close();
    ASSERT_TRUE(test.becomes_idle());
  }
  const std::string text = testing::internal::GetCapturedStderr();
  std::map<int, Json> lines;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const Json line = Json::parse(text.substr(begin, end - begin));
    lines[line["status"] == 200 && line["method"] == "POST" ? 201 : line["status"].get<int>()] =
        line;
  }
  ASSERT_EQ(lines.size(), 4u) << text;
  EXPECT_EQ(lines[200]["path"], "/v1/models");
  EXPECT_EQ(lines[200]["request_id"], "mine");
  EXPECT_EQ(lines[200]["key"], 1);
  EXPECT_GT(lines[201]["bytes"], 100);
  EXPECT_EQ(lines[401]["path"], "/nothing");
  EXPECT_EQ(lines[499]["complete"], false);
  EXPECT_EQ(text.find("secret"), std::string::npos);
}

TEST(RequestId, IsOnEveryAnswer) {
  TestServer test;
  const auto id = [&](Answer answer) { return answer.headers["x-request-id"]; };
  const std::string mine = "X-Request-Id: mine-1\r\n";
  EXPECT_EQ(id(test.ask("GET", "/health", "", mine)), "mine-1");
  EXPECT_EQ(id(test.ask("GET", "/nothing", "", mine)), "mine-1");
  EXPECT_EQ(id(test.ask("POST", "/v1/completions", "{", mine)), "mine-1");
  EXPECT_EQ(id(test.ask("POST", "/v1/completions", R"({"prompt":"a"})", mine)), "mine-1");
  EXPECT_EQ(id(test.ask("POST", "/v1/completions", R"({"prompt":"a","request_id":"b"})", mine)),
            "b");
  EXPECT_EQ(id(test.ask("POST", "/v2/models/fake/generate", R"({"text_input":"a"})", mine)),
            "mine-1");
  const std::string made = id(test.get("/health"));
  EXPECT_TRUE(is_request_id(made));
  EXPECT_NE(made, id(test.get("/health")));
  for (const char* bad : {"a b", "\"", "\\"}) {
    const std::string header = fmt::format("X-Request-Id: {}\r\n", bad);
    const Answer answer = test.ask("POST", "/v1/completions", R"({"prompt":"a"})", header);
    EXPECT_EQ(answer.status, 200) << bad;
    EXPECT_TRUE(is_request_id(id(answer)));
  }
  Client client(test.server->port());
  client.send("rubbish\r\n\r\n");
  EXPECT_TRUE(is_request_id(id(client.read_answer())));
}

}  // namespace
}  // namespace tokamak::server
