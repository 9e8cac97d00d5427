// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <set>
#include <sstream>

#include <dirent.h>
#include <gtest/gtest.h>

#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

std::string long_answer(int64_t tokens) {
  return request_text("POST",
                      "/v1/completions",
                      Json({{"prompt", "hello"}, {"max_tokens", tokens}, {"stream", true}}).dump());
}

TEST(Connection, TakesRequestsSplitAnywhere) {
  TestServer test;
  const std::string text =
      request_text("POST", "/v1/completions", R"({"prompt":"hi","max_tokens":2})");
  Client client(test.server->port());
  for (size_t cut = 1; cut < text.size(); ++cut) {
    ASSERT_TRUE(client.send(text.substr(0, cut)));
    if (cut % 8 == 0) std::this_thread::sleep_for(1ms);
    ASSERT_TRUE(client.send(text.substr(cut)));
    Answer answer = client.read_answer();
    ASSERT_EQ(answer.status, 200) << cut << answer.body;
    EXPECT_EQ(answer.json()["choices"][0]["text"], TestServer::expected("hi", 2));
  }
}

TEST(Connection, IgnoresEmptyLinesBeforeARequest) {
  TestServer test;
  Client client(test.server->port());
  for (std::string_view lines : {"\r\n", "\r\n\r\n", ""}) {
    client.send(std::string(lines) + request_text("GET", "/version") + "\r\n");
    EXPECT_EQ(client.read_answer().status, 200);
  }
  client.send("\r");
  std::this_thread::sleep_for(5ms);
  client.send("\n" + request_text("GET", "/version"));
  EXPECT_EQ(client.read_answer().status, 200);
  client.send("\n\n" + request_text("GET", "/version"));
  EXPECT_EQ(client.read_answer().status, 400) << "these are no lines";
}

TEST(Connection, OptionsOfTheServerAsAWhole) {
  TestServer test;
  const Answer answer = test.ask("OPTIONS", "*");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("allow"), "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(test.ask("GET", "*").status, 400);
}

TEST(Connection, TlsFilesThatCannotBeReadAreNamed) {
  auto refusal = [](const char* certificate, const char* key) {
    ServerOptions options;
    options.port = 0;
    options.tls_certificate = certificate;
    options.tls_key = key;
    return Server::start(options).error().message;
  };
  const std::string here = "/proc/self/stat";
  EXPECT_EQ(refusal("nope.pem", here.c_str()),
            "tls_certificate nope.pem: No such file or directory");
  EXPECT_EQ(refusal("/proc/self", here.c_str()), "tls_certificate /proc/self: Is a directory");
  EXPECT_TRUE(refusal(here.c_str(), here.c_str()).starts_with("tls_certificate " + here));
  EXPECT_EQ(refusal(here.c_str(), "nope.pem"), "tls_key nope.pem: No such file or directory");
}

TEST(Connection, AnswersPipelinedRequestsInOrder) {
  TestServer test;
  Client client(test.server->port());
  std::string all;
  for (int i = 1; i <= 20; ++i) {
    all +=
        request_text("POST", "/v1/completions", Json({{"prompt", "hi"}, {"max_tokens", i}}).dump());
    all += request_text("GET", "/version");
  }
  client.send(all);
  for (int i = 1; i <= 20; ++i) {
    EXPECT_EQ(client.read_answer().json()["usage"]["completion_tokens"], i);
    EXPECT_TRUE(client.read_answer().json().contains("version"));
  }
}

TEST(Connection, AnswersGoOnAfterALargeOne) {
  TestServer test;
  Client client(test.server->port());
  const std::string large =
      request_text("POST", "/tokenize", Json({{"prompt", std::string(200'000, 'a')}}).dump());
  for (int i = 0; i < 3; ++i) {
    client.send(large);
    Answer answer = client.read_answer();
    ASSERT_EQ(answer.status, 200) << answer.body;
    ASSERT_GT(answer.body.size(), 200'000u);
    client.send(request_text("GET", "/version"));
    ASSERT_TRUE(client.read_answer().json().contains("version"));
  }
}

TEST(Connection, EndsWhenTheClientAsksForIt) {
  TestServer test;
  Client client(test.server->port());
  client.send("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.headers["connection"], "close");
  EXPECT_TRUE(client.closed_by_server());

  Client old(test.server->port());
  old.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.read_answer().status, 200);
  EXPECT_TRUE(old.closed_by_server());
}

TEST(Connection, StreamsToHttp10WithoutChunks) {
  TestServer test;
  Client client(test.server->port());
  const std::string body = R"({"prompt":"hello","max_tokens":5,"stream":true})";
  client.send(fmt::format(
      "POST /v1/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.headers["transfer-encoding"], "");
  EXPECT_EQ(answer.events().back(), "[DONE]");
}

TEST(Connection, AnswersHeadWithoutABody) {
  TestServer test;
  Client client(test.server->port());
  client.send("HEAD /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  Answer head = client.read_answer(/*head_only=*/true);
  Answer get = client.read_answer();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers["content-length"], get.headers["content-length"]);
}

TEST(Connection, SaysContinueToWhoWaitsForIt) {
  TestServer test;
  Client client(test.server->port());
  client.send(
      "POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n");
  while (client.buffer().find("\r\n\r\n") == std::string::npos) ASSERT_TRUE(client.read_some());
  EXPECT_TRUE(client.buffer().starts_with("HTTP/1.1 100 "));
  client.send(R"({"prompt":"ab"})");
  EXPECT_EQ(client.read_answer().json()["count"], 2);
}

TEST(Connection, RefusesBeforeItReadsABody) {
  TestServer test;
  Client client(test.server->port());
  client.send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n");
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.json()["error"]["code"], "body_too_large");
  EXPECT_TRUE(client.closed_by_server());
}

TEST(Connection, BoundsTheBodiesOfAllClientsTogether) {
  TestServer::Setup setup;
  setup.server.max_body_bytes = 1 << 20;
  setup.server.max_body_bytes_total = 4 << 20;
  TestServer test(setup);
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<int> refused(2, 0);
  for (int i = 0; i < 20; ++i) {
    const bool chunked = i % 2 == 1;
    clients.push_back(std::make_unique<Client>(test.server->port()));
    Client& client = *clients.back();
    client.send(fmt::format("POST /tokenize HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n",
                            chunked ? "Transfer-Encoding: chunked" : "Content-Length: 1048576"));
    if (chunked) client.send("100000\r\n");
    client.send(std::string((1 << 20) - 1000, 'a'));  // And no more.
  }
  std::this_thread::sleep_for(100ms);
  for (int i = 0; i < 20; ++i) {
    if (!clients[static_cast<size_t>(i)]->read_some(1ms)) continue;
    Answer answer = clients[static_cast<size_t>(i)]->read_answer();
    EXPECT_EQ(answer.status, 503);
    EXPECT_TRUE(answer.headers.contains("retry-after"));
    ++refused[static_cast<size_t>(i % 2)];
  }
  EXPECT_GE(refused[0] + refused[1], 16);
  EXPECT_GT(refused[0], 0);
  EXPECT_GT(refused[1], 0);
  // What is small finds room beside them, and the room comes back.
  EXPECT_EQ(test.post("/tokenize", {{"prompt", std::string(10'000, 'a')}}).status, 200);
  clients.clear();
  const Json large = {{"prompt", std::string(1'000'000, 'a')}};
  EXPECT_TRUE(eventually([&] { return test.post("/tokenize", large).status == 200; }));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(test.post("/tokenize", large).status, 200);
}

TEST(Connection, SaysWhenTooManyRequestsWaitToBeRead) {
  TestServer::Setup setup;
  setup.server.request_threads = 1;
  setup.server.max_request_queue = 1;
  TestServer test(setup);
  const std::string request =
      request_text("POST", "/tokenize", Json({{"prompt", std::string(1 << 20, 'a')}}).dump());
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<Client>(test.server->port()));
    clients.back()->send(request);
  }
  std::map<int, int> answers;
  for (auto& client : clients) {
    Answer answer = client->read_answer();
    ++answers[answer.status];
    if (answer.status == 429) {
      EXPECT_TRUE(answer.headers.contains("retry-after"));
    }
  }
  EXPECT_GE(answers[200], 1);
  EXPECT_EQ(answers[200] + answers[429], 10);
}

TEST(Connection, BoundsHeadersAndDropsSlowSenders) {
  TestServer::Setup setup;
  setup.server.header_timeout_seconds = 0.2;
  setup.server.body_timeout_seconds = 0.2;
  setup.server.idle_timeout_seconds = 0.3;
  TestServer test(setup);

  Client big(test.server->port());
  big.send("GET /health HTTP/1.1\r\nX-Big: " + std::string(100'000, 'a'));
  EXPECT_EQ(big.read_answer().status, 431);

  // A byte now and then never ends a head.
  Client drip(test.server->port());
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100 && drip.send(i == 0 ? "GET /health HTTP/1.1\r\nX: " : "a"); ++i) {
    if (drip.read_some(10ms)) break;
  }
  EXPECT_EQ(drip.read_answer().status, 408);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);

  Client half(test.server->port());
  half.send("POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_EQ(half.read_answer().status, 408);

  Client idle(test.server->port());
  EXPECT_TRUE(idle.closed_by_server(5s));
}

TEST(Connection, CancelsWhenTheClientGoesAway) {
  TestServer::Setup setup;
  setup.step_time = 2ms;
  TestServer test(setup);
  for (bool streaming : {true, false}) {
    Client client(test.server->port());
    client.send(request_text(
        "POST",
        "/v1/completions",
        Json({{"prompt", "hello"}, {"max_tokens", 450}, {"stream", streaming}}).dump()));
    if (streaming) {
      ASSERT_TRUE(client.read_some());
    } else {
      ASSERT_TRUE(eventually([&] { return test.executor->stats().running > 0; }));
    }
    client.close();
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(test.becomes_idle());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 500ms);
  }
  EXPECT_EQ(test.executor->stats().finished[2], 2);
}

TEST(Connection, CancelsWhoWaitsInTheQueue) {
  TestServer::Setup setup;
  setup.step_time = 2ms;
  setup.executor.max_running = 1;
  TestServer test(setup);
  Client first(test.server->port());
  first.send(long_answer(400));
  ASSERT_TRUE(first.read_some());
  {
    Client second(test.server->port());
    second.send(long_answer(400));
    ASSERT_TRUE(eventually([&] { return test.executor->stats().waiting > 0; }));
  }
  ASSERT_TRUE(eventually([&] { return test.executor->stats().waiting == 0; }));
  EXPECT_EQ(test.executor->stats().running, 1);
}

TEST(Connection, KeepsTheAnswerOfASlowReaderWhereItIsSmall) {
  TestServer test;
  Client client(test.server->port());
  int small = 1024;
  ::setsockopt(client.descriptor(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  client.send(long_answer(500));
  EXPECT_TRUE(test.becomes_idle());  // The model does not wait for the reader.
  Answer answer = client.read_answer();
  std::string text;
  for (const std::string& event : answer.events()) {
    if (event == "[DONE]") continue;
    text += Json::parse(event)["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(text, TestServer::expected("hello", 500));
}

TEST(Connection, DropsWhoDoesNotReadAtAll) {
  TestServer::Setup setup;
  setup.server.write_timeout_seconds = 0.3;
  TestServer test(setup);
  Client client(test.server->port());
  int small = 1024;
  ::setsockopt(client.descriptor(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  // An answer that no socket buffer takes whole: long prompts, repeated.
  Json prompts = Json::array();
  for (int i = 0; i < 1000; ++i) prompts.push_back(std::string(500, 'a'));
  for (int i = 0; i < 20; ++i) {
    client.send(request_text(
        "POST",
        "/v1/completions",
        Json({{"prompt", prompts}, {"max_tokens", 0}, {"echo", true}, {"return_token_ids", true}})
            .dump()));
  }
  EXPECT_TRUE(test.becomes_idle(60s));
  std::this_thread::sleep_for(1s);
  while (client.read_some(100ms)) {
  }
  EXPECT_TRUE(client.closed_by_server(5s));
}

TEST(Connection, HoldsManyStreamsOnFewThreads) {
  TestServer::Setup setup;
  setup.executor.max_queue = 2000;
  setup.step_time = 100us;
  TestServer test(setup);
  auto num_threads = [] {
    int count = 0;
    DIR* tasks = ::opendir("/proc/self/task");
    while (::readdir(tasks)) ++count;
    ::closedir(tasks);
    return count;
  };
  const int before = num_threads();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<Client>(test.server->port()));
    ASSERT_TRUE(clients.back()->send(long_answer(20)));
  }
  EXPECT_EQ(num_threads(), before);
  for (auto& client : clients) {
    Answer answer = client->read_answer();
    ASSERT_EQ(answer.status, 200);
    EXPECT_EQ(answer.events().back(), "[DONE]");
  }
  EXPECT_TRUE(test.becomes_idle());
}

TEST(Connection, ClosesMoreThanItsLimit) {
  TestServer::Setup setup;
  setup.server.max_connections = 2;
  setup.step_time = 5ms;
  TestServer test(setup);
  Client first(test.server->port()), second(test.server->port());
  first.send(long_answer(400));
  second.send(long_answer(400));
  EXPECT_TRUE(first.read_some());
  EXPECT_TRUE(second.read_some());
  Client third(test.server->port());
  EXPECT_TRUE(third.closed_by_server());
}

TEST(Connection, GivesWayToNewcomersWhenItIsIdle) {
  TestServer::Setup setup;
  setup.server.max_connections = 4;
  setup.step_time = 5ms;
  TestServer test(setup);
  Client busy(test.server->port());
  busy.send(long_answer(400));
  EXPECT_TRUE(busy.read_some());
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 40; ++i) {
    idle.push_back(std::make_unique<Client>(test.server->port()));
    if (i % 2 == 1) continue;  // Has never asked for anything.
    idle.back()->send(request_text("GET", "/health"));
    EXPECT_EQ(idle.back()->read_answer().status, 200) << i;
  }
  EXPECT_TRUE(idle.front()->closed_by_server());
  EXPECT_TRUE(eventually([&] { return test.get("/health").status == 200; }));
  EXPECT_EQ(busy.read_answer().events().back(), "[DONE]");
}

/// Addresses and ports on which this process listens, from /proc.
std::set<std::string> listening() {
  std::set<std::string> inodes;
  DIR* files = ::opendir("/proc/self/fd");
  while (dirent* entry = ::readdir(files)) {
    char target[64] = {};
    if (::readlinkat(::dirfd(files), entry->d_name, target, sizeof(target) - 1) > 0) {
      const std::string name(target);
      if (name.starts_with("socket:[")) inodes.insert(name.substr(8, name.size() - 9));
    }
  }
  ::closedir(files);
  std::set<std::string> found;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"}) {
    std::ifstream file(table);
    for (std::string line; std::getline(file, line);) {
      std::istringstream fields(line);
      std::string number, local, remote, state, skip, inode;
      fields >> number >> local >> remote >> state;
      for (int i = 0; i < 5; ++i) fields >> skip;
      fields >> inode;
      const bool listens =
          state == "0A" || std::string_view(table).find("udp") != std::string::npos;
      if (listens && inodes.contains(inode)) found.insert(local);
    }
  }
  return found;
}

TEST(Connection, ListensWhereItIsToldAndNowhereElse) {
  const auto before = listening();
  TestServer test;
  auto after = listening();
  for (const auto& address : before) after.erase(address);
  EXPECT_EQ(after, std::set<std::string>{fmt::format("0100007F:{:04X}", test.server->port())});
}

TEST(Connection, NamesAPortThatIsTaken) {
  TestServer test;
  ServerOptions options;
  options.port = test.server->port();
  auto second = Server::start(options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kIo);
  EXPECT_NE(second.error().message.find(std::to_string(options.port)), std::string::npos);
}

}  // namespace
}  // namespace tokamak::server
