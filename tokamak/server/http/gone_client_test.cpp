// SPDX-License-Identifier: Apache-2.0
// Clients that have gone, clients that only look as if they had, and handlers that forget them.
#include <condition_variable>

#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "tokamak/server/http/connection.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

/// A request that the route answers with 200.
std::string example_of(const Route& route, bool stream) {
  std::string path(route.path);
  if (const size_t hole = path.find("{model}"); hole != std::string::npos) {
    path.replace(hole, 7, "fake");
  }
  if (route.body == Body::kNone) return request_text(route.method, path);
  Json body = {{"max_tokens", 20}, {"ignore_eos", true}};
  if (path == "/v1/chat/completions") {
    body["messages"] = {{{"role", "user"}, {"content", "hello"}}};
    body["stream"] = stream;
  } else if (path == "/v1/completions") {
    body["prompt"] = "hello";
    body["stream"] = stream;
  } else if (path.ends_with(":predict")) {
    body["prompt"] = "hello";
    body["streaming"] = stream;
  } else if (path.ends_with("/infer")) {
    body = {
        {"inputs",
         {{{"name", "text_input"}, {"shape", {1}}, {"datatype", "BYTES"}, {"data", {"hello"}}}}}};
  } else if (path == "/tokenize") {
    body = {{"prompt", "hello"}};
  } else if (path == "/detokenize") {
    body = {{"tokens", {1, 2}}};
  } else {
    body["text_input"] = "hello";
  }
  return request_text(route.method, path, body.dump());
}

TEST(HalfClosedClients, GetTheAnswersOfEveryRoute) {
  TestServer::Setup setup;
  setup.step_time = 1ms;
  TestServer test(setup);
  for (const Route& route : routes()) {
    for (bool stream : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {} stream {}", route.method, route.path, stream));
      const std::string request = example_of(route, stream);
      Client open(test.server->port()), half(test.server->port());
      open.send(request);
      const Answer expected = open.read_answer();
      half.send(request);
      half.end_writing();
      const Answer answer = half.read_answer();
      EXPECT_EQ(answer.status, 200) << answer.body;
      EXPECT_EQ(answer.status, expected.status);
      EXPECT_TRUE(answer.complete);
      EXPECT_EQ(answer.body.empty(), expected.body.empty());
      EXPECT_EQ(answer.body.ends_with("[DONE]\n\n"), expected.body.ends_with("[DONE]\n\n"));
      EXPECT_TRUE(half.closed_by_server());
    }
  }
  EXPECT_TRUE(test.becomes_idle());
}

TEST(HalfClosedClients, GetAllThatTheyAskedForInOrder) {
  TestServer::Setup setup;
  setup.step_time = 1ms;
  TestServer test(setup);
  Client client(test.server->port());
  std::string all;
  for (int i = 1; i <= 5; ++i) {
    all += request_text(
        "POST", "/v1/completions", Json({{"prompt", "hi"}, {"max_tokens", 5 * i}}).dump());
    all += request_text("GET", "/version");
  }
  client.send(all);
  client.end_writing();
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(client.read_answer().json()["usage"]["completion_tokens"], 5 * i);
    Answer version = client.read_answer();
    EXPECT_TRUE(version.json().contains("version"));
    EXPECT_EQ(version.headers["connection"], i < 5 ? "" : "close");
  }
  EXPECT_TRUE(client.closed_by_server());
}

TEST(HalfClosedClients, LearnOfErrorsToo) {
  TestServer test;
  Client client(test.server->port());
  client.send(request_text("POST", "/v1/completions", R"({"prompt":"a","n":0})"));
  client.end_writing();
  EXPECT_EQ(client.read_answer().status, 400);
  Client half(test.server->port());
  half.send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{");
  half.end_writing();
  EXPECT_TRUE(half.closed_by_server()) << "half a request gets no answer";
}

/// A connection whose requests go to the test.
class Bench {
 public:
  using Handler = std::function<void(const std::shared_ptr<Exchange>&)>;
  explicit Bench(Handler handler, ServerOptions options = {})
      : service_(std::move(options)),
        context{.service = service_,
                .dispatch = [handler = std::move(handler)](
                                const Route&,
                                const std::shared_ptr<Exchange>& exchange) { handler(exchange); },
                .work = {}},
        loop_(std::make_shared<EventLoop>()) {
    loop_->start(5ms);
  }
  ~Bench() { loop_->stop(); }
  std::unique_ptr<Client> connect() {
    int sockets[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    boost::asio::post(loop_->context, [this, descriptor = sockets[0]] {
      const boost::asio::generic::stream_protocol protocol(AF_UNIX, 0);
      auto transport = plain_transport(Socket(loop_->context, protocol, descriptor));
      std::make_shared<Connection>(context, loop_, std::move(transport))->start();
    });
    return Client::of_socket(sockets[1]);
  }

 private:
  Service service_;

 public:
  ConnectionContext context;

 private:
  const std::shared_ptr<EventLoop> loop_;
};

const std::string kRequest = request_text("GET", "/health");

TEST(GoneClients, TakeWhatWasToBeDoneForThemAlong) {
  std::mutex mutex;
  std::weak_ptr<Exchange> waiting;
  Bench bench([&](const std::shared_ptr<Exchange>& exchange) {
    std::lock_guard lock(mutex);
    waiting = exchange;
  });
  auto client = bench.connect();
  client->send(kRequest);
  ASSERT_TRUE(eventually([&] {
    std::lock_guard lock(mutex);
    return !waiting.expired();
  }));
  EXPECT_EQ(bench.context.num_answering, 1);
  client->close();
  EXPECT_TRUE(eventually([&] { return waiting.expired(); }));
  EXPECT_EQ(bench.context.num_answering, 0);
  EXPECT_EQ(bench.context.bodies.used_bytes(), 0);
}

TEST(GoneClients, AreKnownToWhoWorksForThem) {
  std::shared_ptr<Exchange> held;
  std::atomic<bool> taken{false};
  Bench bench([&](const std::shared_ptr<Exchange>& exchange) {
    held = exchange;
    taken = true;
  });
  auto client = bench.connect();
  client->send(kRequest);
  ASSERT_TRUE(eventually([&] { return taken.load(); }));
  EXPECT_FALSE(held->gone());
  client->close();
  EXPECT_TRUE(eventually([&] { return held->gone(); }));
  held->respond({});
  held.reset();  // It has a share of the bench's budget.
}

TEST(Handlers, ThatNeverAnswerAreAnsweredFor) {
  ServerOptions options;
  options.handler_timeout_seconds = 0.1;
  std::shared_ptr<Exchange> held;
  Bench bench([&](const std::shared_ptr<Exchange>& exchange) { held = exchange; }, options);
  for (bool half_closed : {false, true}) {
    auto client = bench.connect();
    client->send(kRequest);
    if (half_closed) client->end_writing();
    const Answer answer = client->read_answer();
    EXPECT_EQ(answer.status, 500) << "half closed: " << half_closed;
    EXPECT_EQ(answer.json()["error"]["code"], "internal_error");
    EXPECT_EQ(bench.context.num_answering, 0) << "nobody waits for it at the end";
    held->respond({});  // Too late.
    EXPECT_TRUE(client->closed_by_server());
  }
  held.reset();
}

TEST(Handlers, OfWholeAnswersMayTakeTheModelsTime) {
  TestServer::Setup setup;
  setup.server.handler_timeout_seconds = 0.1;
  setup.step_time = 10ms;
  TestServer test(setup);
  const Answer answer = test.post("/v1/completions", {{"prompt", "a"}, {"max_tokens", 50}});
  EXPECT_EQ(answer.status, 200) << answer.body;
}

TEST(Handlers, AnswerEveryEmptyList) {
  TestServer test;
  for (const Route& route : routes()) {
    if (route.body == Body::kNone) continue;
    std::string path(route.path);
    if (const size_t hole = path.find("{model}"); hole != std::string::npos) {
      path.replace(hole, 7, "fake");
    }
    for (const char* name : {"prompt", "messages", "tokens", "text_input", "instances", "inputs"}) {
      SCOPED_TRACE(fmt::format("{} {}", path, name));
      // No tokens are no text, and an index asks for nothing.
      const bool nothing_to_do = path == "/v2/repository/index" ||
                                 (path == "/detokenize" && name == std::string_view("tokens"));
      EXPECT_EQ(test.post(path, {{name, Json::array()}}).status, nothing_to_do ? 200 : 400);
    }
  }
}

}  // namespace
}  // namespace tokamak::server
