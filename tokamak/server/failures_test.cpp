// SPDX-License-Identifier: Apache-2.0
// What clients see of an engine that fails while it works for them, and what their neighbours see.
#include <atomic>
#include <future>

#include <gtest/gtest.h>

#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kMessage =
    "the engine failed while it worked on this request; the server's log says more";

/// A server on which requests named "victim" (and with `all` every request) fail at their next
/// token as soon as `armed` says so.
struct Trap {
  explicit Trap(bool all = false, bool armed_from_the_start = false) : armed(armed_from_the_start) {
    TestServer::Setup setup;
    setup.step_time = 2ms;
    setup.executor.fault = [this, all](executor::Fault place, const executor::Request& request) {
      return place == executor::Fault::kRow && armed && (all || request.id.ends_with("victim"));
    };
    test = std::make_unique<TestServer>(setup);
  }
  /// Sends a request, reads the beginning of its answer, lets it fail and reads the rest.
  Answer spring(std::string_view path, const Json& body, Client& client) {
    EXPECT_TRUE(client.send(request_text("POST", path, body.dump())));
    while (client.buffer().find("\r\n\r\n") + 4 >= client.buffer().size()) {
      if (!client.read_some()) break;
    }
    armed = true;
    return client.read_answer();
  }
  std::atomic<bool> armed;
  std::unique_ptr<TestServer> test;
};

Json body_for(std::string_view path, bool stream, std::string_view id) {
  Json body = {{"max_tokens", 400}, {"ignore_eos", true}, {"stream", stream}, {"request_id", id}};
  if (path == "/v1/chat/completions") {
    body["messages"] = {{{"role", "user"}, {"content", "hello"}}};
  } else {
    body["prompt"] = "hello";
  }
  return body;
}

void expect_envelope(const Json& json) {
  ASSERT_TRUE(json.is_object() && json.size() == 1 && json.contains("error")) << json;
  EXPECT_EQ(json["error"],
            Json({{"message", kMessage},
                  {"type", "server_error"},
                  {"param", nullptr},
                  {"code", "internal_error"}}));
}

TEST(Failures, InTheMiddleOfAStreamAreItsLastEventAndNobodyElses) {
  for (const char* path : {"/v1/completions", "/v1/chat/completions"}) {
    SCOPED_TRACE(path);
    Trap trap;
    Client neighbour(trap.test->server->port()), client(trap.test->server->port());
    neighbour.send(request_text(
        "POST", "/v1/completions", body_for("/v1/completions", true, "neighbour").dump()));
    ASSERT_TRUE(eventually([&] { return trap.test->executor->stats().running == 1; }));
    const Answer answer = trap.spring(path, body_for(path, true, "victim"), client);
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.complete) << "the stream ends as streams do";
    std::vector<std::string> events = answer.events();
    ASSERT_GE(events.size(), 3u) << answer.body;
    EXPECT_EQ(events.back(), "[DONE]");
    expect_envelope(Json::parse(events[events.size() - 2]));
    for (size_t i = 0; i + 2 < events.size(); ++i) {
      const Json chunk = Json::parse(events[i]);
      EXPECT_FALSE(chunk.contains("error"));
      EXPECT_EQ(chunk["choices"][0]["finish_reason"], nullptr);
    }
    // The connection goes on.
    client.send(request_text("GET", "/health"));
    EXPECT_EQ(client.read_answer().status, 200);
    std::string text;
    for (const std::string& event : neighbour.read_answer().events()) {
      if (event != "[DONE]") text += Json::parse(event)["choices"][0]["text"].get<std::string>();
    }
    const Answer undisturbed =
        trap.test->post("/v1/completions", body_for("/v1/completions", false, "other"));
    EXPECT_EQ(text, undisturbed.json()["choices"][0]["text"]);
    EXPECT_TRUE(trap.test->becomes_idle());
    const executor::ExecutorStats stats = trap.test->executor->stats();
    EXPECT_EQ(stats.finished[static_cast<size_t>(executor::FinishReason::kError)], 1);
    EXPECT_EQ(stats.finished[static_cast<size_t>(executor::FinishReason::kLength)], 2);
  }
}

TEST(Failures, OfAnAnswerThatHasNotBegunAreAnErrorOfTheServer) {
  Trap trap(/*all=*/false, /*armed_from_the_start=*/true);
  for (const char* path : {"/v1/completions", "/v1/chat/completions"}) {
    for (bool stream : {false, true}) {
      SCOPED_TRACE(fmt::format("{} stream {}", path, stream));
      const Answer answer = trap.test->post(path, body_for(path, stream, "victim"));
      EXPECT_EQ(answer.status, 500);
      EXPECT_EQ(answer.headers.at("content-type"), "application/json");
      expect_envelope(answer.json());
    }
  }
  EXPECT_EQ(trap.test->post("/v1/completions", body_for("/v1/completions", false, "other")).status,
            200);
}

TEST(Failures, OfAWholeAnswerThatWasUnderWayAreAnErrorOfTheServer) {
  Trap trap;
  Client client(trap.test->server->port());
  client.send(
      request_text("POST", "/v1/completions", body_for("/v1/completions", false, "victim").dump()));
  ASSERT_TRUE(eventually([&] { return trap.test->executor->stats().output_tokens > 3; }));
  trap.armed = true;
  const Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 500);
  expect_envelope(answer.json());
}

TEST(Failures, OfKServesStreamsAreTheirLastEventOrCutThem) {
  const Json events = {{"text_input", "hello"}, {"max_tokens", 400}, {"ignore_eos", true}};
  {
    Trap trap(/*all=*/true);
    Client client(trap.test->server->port());
    const Answer answer = trap.spring("/v2/models/fake/generate_stream", events, client);
    EXPECT_TRUE(answer.complete);
    ASSERT_GE(answer.events().size(), 2u) << answer.body;
    EXPECT_EQ(Json::parse(answer.events().back()), Json({{"error", kMessage}}));
    const Answer whole = trap.test->post("/v2/models/fake/generate", events);
    EXPECT_EQ(whole.status, 500);
    EXPECT_EQ(whole.json(), Json({{"error", kMessage}}));
  }
  // Its stream is bare text, so only a connection that is cut can tell.
  Trap trap(/*all=*/true);
  Client client(trap.test->server->port());
  const Json bare = {
      {"prompt", "hello"}, {"max_new_tokens", 400}, {"ignore_eos", true}, {"streaming", true}};
  const Answer answer = trap.spring("/v1/models/fake:predict", bare, client);
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.complete);
}

/// A stream that has begun and a whole answer that has not, both running.
void start_answers(TestServer& test, Client& stream, Client& whole) {
  stream.send(
      request_text("POST", "/v1/completions", body_for("/v1/completions", true, "a").dump()));
  ASSERT_TRUE(stream.read_some());
  whole.send(
      request_text("POST", "/v1/completions", body_for("/v1/completions", false, "b").dump()));
  ASSERT_TRUE(eventually([&] { return test.executor->stats().running == 2; }));
}

TEST(Failures, OfTheDeviceEndEveryAnswerAndTheServersHealth) {
  std::atomic<bool> lost{false};
  TestServer::Setup setup;
  setup.step_time = 2ms;
  setup.device_lost = [&] { return lost.load(); };
  TestServer test(setup);
  EXPECT_EQ(test.get("/health").status, 200);
  Client stream(test.server->port()), whole(test.server->port());
  ASSERT_NO_FATAL_FAILURE(start_answers(test, stream, whole));
  lost = true;
  const std::vector<std::string> events = stream.read_answer().events();
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(Json::parse(events[events.size() - 2])["error"]["code"], "unavailable");
  EXPECT_EQ(whole.read_answer().status, 503);
  const Answer refused = test.post("/v1/completions", body_for("/v1/completions", false, "c"));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.json()["error"]["type"], "service_unavailable_error");
  const Answer health = test.get("/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.json()["status"], "failed");
  EXPECT_EQ(test.get("/v2/health/ready").status, 503);
  EXPECT_TRUE(test.becomes_idle());
}

TEST(Failures, OfAServerThatStopsEndEveryAnswerInItsForm) {
  TestServer::Setup setup;
  setup.step_time = 5ms;
  setup.executor.max_running = 2;
  TestServer test(setup);
  const int port = test.server->port();
  Client stream(port), whole(port), waiting(port), kserve(port);
  ASSERT_NO_FATAL_FAILURE(start_answers(test, stream, whole));
  waiting.send(
      request_text("POST", "/v1/completions", body_for("/v1/completions", true, "c").dump()));
  kserve.send(request_text("POST",
                           "/v2/models/fake/generate",
                           Json({{"text_input", "hello"}, {"max_tokens", 400}}).dump()));
  ASSERT_TRUE(eventually([&] { return test.executor->stats().waiting == 2; }));
  EXPECT_FALSE(test.server->drain(20ms));
  test.server->stop();

  const Json error = {{"error",
                       {{"message", "the server is shutting down"},
                        {"type", "service_unavailable_error"},
                        {"param", nullptr},
                        {"code", "unavailable"}}}};
  const Answer begun = stream.read_answer();
  EXPECT_EQ(begun.status, 200);
  EXPECT_TRUE(begun.complete) << "the stream ends as streams do";
  const std::vector<std::string> events = begun.events();
  ASSERT_GE(events.size(), 2u) << begun.body;
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(Json::parse(events[events.size() - 2]), error);
  for (Client* client : {&whole, &waiting}) {
    const Answer answer = client->read_answer();
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.json(), error) << answer.body;
  }
  const Answer refused = kserve.read_answer();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.json(), Json({{"error", "the server is shutting down"}}));
  EXPECT_TRUE(stream.closed_by_server());
  EXPECT_TRUE(test.becomes_idle());
}

TEST(Failures, OfAStepThatNeverEndsEndEveryAnswerAndTheServersHealth) {
  // The step loop's thread outlives the test's server, until the step may end.
  auto gate = std::make_shared<std::promise<void>>();
  auto hang = std::make_shared<std::atomic<bool>>(false);
  TestServer::Setup setup;
  setup.step_time = 2ms;
  setup.executor.step_timeout_seconds = 0.5;
  setup.device_lost = [hang, opened = gate->get_future().share()] {
    if (*hang) opened.wait();
    return false;
  };
  {
    TestServer test(setup);
    Client stream(test.server->port()), whole(test.server->port());
    ASSERT_NO_FATAL_FAILURE(start_answers(test, stream, whole));
    *hang = true;
    const std::vector<std::string> events = stream.read_answer().events();
    ASSERT_GE(events.size(), 2u);
    EXPECT_EQ(Json::parse(events[events.size() - 2])["error"]["code"], "unavailable");
    EXPECT_EQ(whole.read_answer().status, 503);
    EXPECT_EQ(test.post("/v1/completions", body_for("/v1/completions", false, "c")).status, 503);
    EXPECT_EQ(test.get("/health").json()["status"], "failed");
    EXPECT_TRUE(test.executor->failure()->message.starts_with("step "));
    EXPECT_TRUE(test.server->drain(20s)) << "as the process would before it ends";
  }
  gate->set_value();
}

}  // namespace
}  // namespace tokamak::server
