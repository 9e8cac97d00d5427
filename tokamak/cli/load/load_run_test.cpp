// SPDX-License-Identifier: Apache-2.0
// The load generator against a server of canned answers.
#include "tokamak/cli/load/load_run.h"

#include <mutex>
#include <thread>

#include <boost/asio.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/base/json.h"

namespace tokamak::cli {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// Answers each connection's requests, one after another, with what `answer` makes of them.
class CannedServer {
 public:
  explicit CannedServer(std::function<std::string(const std::string&)> answer)
      : answer_(std::move(answer)), acceptor_(context_, {asio::ip::address_v4::loopback(), 0}) {
    port_ = acceptor_.local_endpoint().port();
    thread_ = std::thread([this] { serve(); });
  }
  ~CannedServer() {
    stopping_ = true;
    boost::system::error_code ignored;
    tcp::socket(context_).connect({asio::ip::address_v4::loopback(), port_}, ignored);
    thread_.join();
    for (std::thread& thread : connections_) thread.join();
  }
  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }

 private:
  void serve() {
    while (true) {
      auto socket = std::make_shared<tcp::socket>(context_);
      acceptor_.accept(*socket);
      if (stopping_) return;
      connections_.emplace_back([this, socket] { talk(*socket); });
    }
  }
  void talk(tcp::socket& socket) {
    boost::system::error_code error;
    std::string held;
    while (true) {
      size_t head = asio::read_until(socket, asio::dynamic_buffer(held), "\r\n\r\n", error);
      if (error) return;
      size_t at = held.find("Content-Length: ");
      size_t length = at < head ? std::stoul(held.substr(at + 16)) : 0;
      if (held.size() < head + length)
        asio::read(socket,
                   asio::dynamic_buffer(held),
                   asio::transfer_exactly(head + length - held.size()),
                   error);
      if (error) return;
      std::string reply = answer_(held.substr(0, head + length));
      held.erase(0, head + length);
      // Piece by piece, so that events are cut anywhere.
      for (size_t i = 0; i < reply.size() && !error; i += 37)
        asio::write(socket, asio::buffer(reply.substr(i, 37)), error);
      if (error || reply.find("Connection: close") != std::string::npos) return;
    }
  }

  std::function<std::string(const std::string&)> answer_;
  asio::io_context context_;
  tcp::acceptor acceptor_;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  std::vector<std::thread> connections_;
};

std::string reply(int status, std::string_view type, std::string_view body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
                     status,
                     type,
                     body.size(),
                     body);
}

std::string models() {
  return reply(200, "application/json", R"({"data": [{"id": "tiny"}]})");
}

std::string stream(bool with_end = true) {
  std::string body;
  for (const char* word : {"once", " upon", " a"})
    body += fmt::format("data: {{\"choices\": [{{\"text\": \"{}\"}}]}}\n\n", word);
  body +=
      "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 3, "
      "\"prompt_tokens_details\": {\"cached_tokens\": 4}}}\n\n";
  if (with_end) body += "data: [DONE]\n\n";
  return reply(200, "text/event-stream", body);
}

LoadOptions options(const CannedServer& server, int64_t requests) {
  LoadOptions out{.url = server.url(), .concurrency = 4, .timeout = 5};
  out.workload.requests = requests;
  return out;
}

TEST(LoadRun, counts_tokens_and_times_of_streams) {
  CannedServer server([](const std::string& request) {
    return request.starts_with("GET /v1/models") ? models() : stream();
  });
  LoadReport report = run_load(options(server, 20), {}).value();
  EXPECT_EQ(report.model, "tiny");
  EXPECT_EQ(report.completed, 20);
  EXPECT_EQ(report.prompt_tokens, 140);
  EXPECT_EQ(report.cached_tokens, 80);
  EXPECT_EQ(report.output_tokens, 60);
  EXPECT_TRUE(report.errors.empty());
  EXPECT_GT(report.ttft.p50, 0);
  EXPECT_GE(report.e2e.max, report.ttft.p50);
}

TEST(LoadRun, names_every_kind_of_error) {
  std::atomic<int> count{0};
  CannedServer server([&](const std::string& request) -> std::string {
    if (request.starts_with("GET /v1/models")) return models();
    switch (count++ % 4) {
      case 0:
        return reply(429, "application/json", "{}");
      case 1:
        return stream(false);
      case 2:
        return reply(200,
                     "text/event-stream",
                     "data: {\"error\": {\"message\": \"lost\"}}\n\ndata: [DONE]\n\n");
      default:
        return "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 99\r\n\r\nshort";
    }
  });
  LoadOptions some = options(server, 8);
  some.concurrency = 1;
  LoadReport report = run_load(some, {}).value();
  EXPECT_THAT(report.errors,
              testing::UnorderedElementsAre(testing::Pair("HTTP 429", 2),
                                            testing::Pair("no [DONE]", 2),
                                            testing::Pair("error within the stream", 2),
                                            testing::Pair("closed early", 2)));
}

TEST(LoadRun, malformed_requests_must_be_refused_and_clients_go_away) {
  CannedServer server([](const std::string& request) {
    if (request.starts_with("GET /v1/models")) return models();
    bool whole = request.find("\"max_tokens\":16,") != std::string::npos;
    return whole ? stream() : reply(400, "application/json", "{}");
  });
  LoadOptions some = options(server, 200);
  some.workload.output_len = 16;
  some.workload.disconnect_share = 0.2;
  some.workload.malformed_share = 0.2;
  LoadReport report = run_load(some, {}).value();
  EXPECT_TRUE(report.errors.empty());
  EXPECT_GT(report.refused, 20);
  EXPECT_GT(report.disconnected, 0);
  EXPECT_EQ(report.completed + report.refused + report.disconnected, 200);
}

TEST(LoadRun, prompts_of_ids_ask_for_ids) {
  std::atomic<int> asked{0};
  CannedServer server([&](const std::string& request) {
    if (request.starts_with("GET /v1/models")) return models();
    asked += request.find("\"return_token_ids\":true") != std::string::npos;
    return stream();
  });
  LoadOptions some = options(server, 3);
  run_load(some, {}).value();
  EXPECT_EQ(asked, 0);
  some.vocab = 100;
  run_load(some, {}).value();
  EXPECT_EQ(asked, 3);
}

TEST(LoadRun, puts_extra_fields_into_every_request) {
  std::atomic<int> extended{0};
  CannedServer server([&](const std::string& request) {
    if (request.starts_with("GET /v1/models")) return models();
    extended += request.find("\"presence_penalty\":0.5") != std::string::npos &&
                request.find("\"max_tokens\":7,") != std::string::npos;
    return stream();
  });
  LoadOptions some = options(server, 5);
  some.extra_body = R"({"presence_penalty": 0.5, "max_tokens": 7})";
  EXPECT_EQ(run_load(some, {}).value().completed, 5);
  EXPECT_EQ(extended, 5);
  some.extra_body = "[1]";
  EXPECT_EQ(run_load(some, {}).error().message, "extra_body is [1], must be a JSON object");
  some.extra_body = "{";
  EXPECT_FALSE(run_load(some, {}).ok());
}

TEST(LoadRun, says_what_is_wrong_with_the_url_or_the_server) {
  auto error = [](std::string url) {
    return run_load({.url = std::move(url)}, {}).error().message;
  };
  EXPECT_EQ(error("https://a"), "url 'https://a' is https: the load generator speaks plain http");
  EXPECT_EQ(error("ftp://a"), "url 'ftp://a' does not begin with http://");
  Error none = run_load({.url = "http://127.0.0.1:1"}, {}).error();
  EXPECT_EQ(none.message, "http://127.0.0.1:1/v1/models: connect: Connection refused");
  EXPECT_EQ(none.hint, "start one with `tokamak serve MODEL`, or say with --url where it is");

  CannedServer closed([](const std::string&) { return reply(401, "application/json", "{}"); });
  EXPECT_EQ(run_load(options(closed, 1), {}).error().hint, "give the server's key with --api-key");
  CannedServer other([](const std::string&) { return reply(200, "text/html", "hello"); });
  EXPECT_EQ(run_load(options(other, 1), {}).error().hint, "name one with --model");
}

TEST(LoadRun, prompts_have_as_many_tokens_as_asked_for) {
  std::mutex mutex;
  std::vector<Json> prompts;
  std::atomic<bool> tokenizes = true;
  CannedServer server([&](const std::string& request) {
    if (request.starts_with("GET /v1/models")) return models();
    Json body = Json::parse(request.substr(request.find("\r\n\r\n")));
    std::lock_guard lock(mutex);
    if (request.starts_with("POST /tokenize")) {
      EXPECT_EQ(body["add_special_tokens"], false);
      return tokenizes ? reply(200, "application/json", R"({"tokens": [11, 12, 13]})")
                       : reply(404, "application/json", "{}");
    }
    prompts.push_back(body["prompt"]);
    return stream();
  });
  LoadOptions some = options(server, 6);
  some.url += "/v1";  // As clients of OpenAI's write it.
  some.workload.input_len = 37;
  EXPECT_EQ(run_load(some, {}).value().prompts_of, "tokens");
  ASSERT_EQ(prompts.size(), 6u);
  for (const Json& prompt : prompts) {
    ASSERT_TRUE(prompt.is_array());
    EXPECT_EQ(prompt.size(), 37u);
    EXPECT_THAT(prompt.get<std::vector<int>>(), testing::Each(testing::AnyOf(11, 12, 13)));
  }
  prompts.clear();
  tokenizes = false;
  EXPECT_EQ(run_load(some, {}).value().prompts_of, "words");
  EXPECT_TRUE(prompts.at(0).is_string());
  prompts.clear();
  some.words = true;
  tokenizes = true;
  EXPECT_EQ(run_load(some, {}).value().prompts_of, "words");
  EXPECT_TRUE(prompts.at(0).is_string());
}

}  // namespace
}  // namespace tokamak::cli
