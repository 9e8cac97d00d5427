// SPDX-License-Identifier: Apache-2.0
#include <set>

#include <gtest/gtest.h>

#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kPath = "/v1/chat/completions";

Json user(const Json& content) {
  return {{"role", "user"}, {"content", content}};
}
Json assistant(const Json& content) {
  return {{"role", "assistant"}, {"content", content}};
}
Json chat(std::vector<Json> messages, int64_t max_tokens = 4) {
  return {{"messages", messages}, {"max_tokens", max_tokens}};
}

std::string content_of(const Answer& answer) {
  Json json = answer.json();
  EXPECT_EQ(answer.status, 200) << answer.body;
  return json["choices"][0]["message"]["content"];
}

TEST(Chat, PutsMessagesThroughTheTemplate) {
  TestServer test;
  auto answer = test.post(kPath, chat({user("hi")}));
  EXPECT_EQ(content_of(answer), TestServer::expected("[user]hi[assistant]", 4));
  Json json = answer.json();
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_TRUE(json["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(json["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 19);
}

TEST(Chat, HasATemplateOfItsOwnForToolsIfTheModelHas) {
  Model model;
  model.chat_template = text::ChatTemplate::parse("chat").value();
  const Json tools = Json::array({Json::object()});
  EXPECT_EQ(model.template_for(tools).render(Json::object()).value(), "chat");
  model.tool_template = text::ChatTemplate::parse("tools").value();
  EXPECT_EQ(model.template_for(tools).render(Json::object()).value(), "tools");
  EXPECT_EQ(model.template_for(nullptr).render(Json::object()).value(), "chat");
}

TEST(Chat, ReadsContentInParts) {
  TestServer test;
  Json parts = {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "b"}}};
  auto tokens = test.post("/tokenize", {{"messages", {user(parts)}}});
  EXPECT_EQ(tokens.json()["count"], 20) << tokens.body;  // With the line break between them.
  parts.push_back({{"type", "image_url"}, {"image_url", {{"url", "file:///etc/passwd"}}}});
  auto answer = test.post(kPath, chat({user(parts)}));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["param"], "messages");
}

TEST(Chat, StreamsTheSameText) {
  TestServer test;
  Json body = chat({user("hello")}, 30);
  const std::string whole = content_of(test.post(kPath, body));
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}, {"continuous_usage_stats", true}};
  auto answer = test.post(kPath, body);
  std::vector<std::string> events = answer.events();
  ASSERT_GE(events.size(), 4u);
  Json first = Json::parse(events.front());
  EXPECT_EQ(first["object"], "chat.completion.chunk");
  EXPECT_EQ(first["choices"][0]["delta"], Json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(first["usage"]["completion_tokens"], 0);
  std::string text;
  for (size_t i = 0; i + 2 < events.size(); ++i) {
    text += Json::parse(events[i])["choices"][0]["delta"]["content"].get<std::string>();
  }
  EXPECT_EQ(text, whole);
  EXPECT_TRUE(Json::parse(events[events.size() - 2])["choices"].empty());
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST(Chat, StreamsSeveralAnswers) {
  TestServer test;
  Json body = chat({user("hello")}, 10);
  body["n"] = 3;
  body["stream"] = true;
  std::map<int, std::string> texts;
  std::map<int, int> finishes;
  for (const std::string& event : test.post(kPath, body).events()) {
    if (event == "[DONE]") continue;
    Json choice = Json::parse(event)["choices"][0];
    texts[choice["index"]] += choice["delta"]["content"].get<std::string>();
    finishes[choice["index"]] += choice["finish_reason"] != nullptr;
  }
  ASSERT_EQ(texts.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(texts[i], TestServer::expected("[user]hello[assistant]", 10));
    EXPECT_EQ(finishes[i], 1);
  }
}

TEST(Chat, GoesOnWithTheLastMessage) {
  TestServer test;
  Json body = chat({user("hi"), assistant("well")});
  body["continue_final_message"] = true;
  EXPECT_EQ(content_of(test.post(kPath, body)), TestServer::expected("[user]hi[assistant]well", 4));
  body["echo"] = true;
  EXPECT_EQ(content_of(test.post(kPath, body)),
            "well" + TestServer::expected("[user]hi[assistant]well", 4));
  body["add_generation_prompt"] = true;
  EXPECT_EQ(test.post(kPath, body).status, 400);
  body = chat({user("hi")});
  body["add_generation_prompt"] = false;
  EXPECT_EQ(content_of(test.post(kPath, body)), TestServer::expected("[user]hi", 4));
}

TEST(Chat, GivesTheTemplateVariables) {
  TestServer test;
  Json body = chat({user("hi")});
  body["chat_template_kwargs"] = {{"extra", "!"}};
  EXPECT_EQ(content_of(test.post(kPath, body)), TestServer::expected("[user]hi[assistant]!", 4));
  for (const char* reserved : {"messages", "tokenize", "add_generation_prompt", "chat_template"}) {
    body["chat_template_kwargs"] = {{reserved, true}};
    auto answer = test.post(kPath, body);
    EXPECT_EQ(answer.status, 400) << reserved;
    EXPECT_EQ(answer.json()["error"]["param"], "chat_template_kwargs");
  }
}

TEST(Chat, RefusesDocumentsThatTheTemplateLeavesOut) {
  TestServer test;
  Json body = chat({user("hi")});
  body["documents"] = {{{"title", "t"}, {"text", "d"}}};
  auto answer = test.post(kPath, body);
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["param"], "documents");
}

TEST(Chat, ShowsToolsButCallsNone) {
  TestServer test;
  Json body = chat({user("hi")});
  body["tools"] = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  EXPECT_EQ(test.post(kPath, body).json()["error"]["param"], "tools");
  for (const Json& choice : {Json("auto"), Json("required"), Json({{"type", "function"}})}) {
    body["tool_choice"] = choice;
    auto answer = test.post(kPath, body);
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(answer.json()["error"]["param"], "tool_choice");
  }
  body["tool_choice"] = "none";
  EXPECT_EQ(test.post(kPath, body).status, 200);
}

TEST(Chat, RefusesWhatIsNoConversation) {
  TestServer test;
  for (const Json& messages : {Json(nullptr),
                               Json("hi"),
                               Json::array(),
                               Json::array({"hi"}),
                               Json::array({{{"content", "a"}}}),
                               Json::array({user(3)}),
                               Json::array({{{"role", "assistant"}, {"tool_calls", "x"}}}),
                               Json::array({user(Json::array({"a"}))})}) {
    auto answer = test.post(kPath, {{"messages", messages}});
    EXPECT_EQ(answer.status, 400) << messages;
    EXPECT_EQ(answer.json()["error"]["param"], "messages") << messages << answer.body;
  }
}

TEST(Chat, GivesLogprobsOfEachToken) {
  TestServer test;
  Json body = chat({user("hi")}, 5);
  body["top_logprobs"] = 2;
  EXPECT_EQ(test.post(kPath, body).status, 400);
  body["logprobs"] = true;
  Json choice = test.post(kPath, body).json()["choices"][0];
  std::string text;
  for (const Json& token : choice["logprobs"]["content"]) {
    text += token["token"].get<std::string>();
    EXPECT_LE(token["logprob"].get<double>(), 0);
    EXPECT_EQ(token["bytes"].size(), 1u);
    EXPECT_TRUE(token["top_logprobs"].is_array());
  }
  EXPECT_EQ(text, choice["message"]["content"]);
}

TEST(Chat, GivesLogprobsOfNamedTokens) {
  TestServer test;
  for (bool stream : {false, true}) {
    Json body = chat({user("hi")}, 4);
    body.update({{"stream", stream}, {"ignore_eos", true}, {"logprob_token_ids", {34, 33, 34}}});
    const Answer answer = test.post(kPath, body);
    ASSERT_EQ(answer.status, 200) << answer.body;
    std::vector<Json> content;
    if (!stream) {
      const Json choice = answer.json()["choices"][0];
      for (const Json& token : choice["logprobs"]["content"]) content.push_back(token);
    }
    for (const std::string& event : stream ? answer.events() : std::vector<std::string>()) {
      if (event == "[DONE]") continue;
      const Json choice = Json::parse(event)["choices"][0];
      if (choice["logprobs"].is_null()) continue;
      for (const Json& token : choice["logprobs"]["content"]) content.push_back(token);
    }
    ASSERT_EQ(content.size(), 4u) << stream;
    for (const Json& token : content) {
      const Json& top = token["top_logprobs"];
      ASSERT_EQ(top.size(), 2u) << token;
      EXPECT_GE(top[0]["logprob"], top[1]["logprob"]) << "best first";
      std::set<std::string> named;
      for (const Json& entry : top) named.insert(entry["token"].get<std::string>());
      EXPECT_EQ(named, (std::set<std::string>{"A", "B"}));
    }
  }
  // They ask for no best tokens, and `logprobs` stays what those need.
  Json body = chat({user("hi")}, 4);
  body.update({{"logprob_token_ids", {33}}, {"top_logprobs", 2}});
  const Answer refused = test.post(kPath, body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["message"], "top_logprobs needs logprobs to be true");
  body = chat({user("hi")}, 4);
  body["logprob_token_ids"] = {96};
  EXPECT_EQ(test.post(kPath, body).json()["error"]["message"],
            "logprob_token_ids[0] is 96, must be in [0, 96)");
}

TEST(Chat, TakesAllTheRoomThatIsLeft) {
  TestServer test;
  auto answer = test.post(kPath, {{"messages", {user("hi")}}, {"ignore_eos", true}});
  EXPECT_EQ(answer.json()["usage"]["total_tokens"], 512) << answer.body;
  EXPECT_EQ(answer.json()["choices"][0]["finish_reason"], "length");
}

TEST(Chat, NamesTheFieldAtFault) {
  TestServer test;
  auto param = [&](const Json& body) {
    auto answer = test.post(kPath, body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return answer.json()["error"]["param"];
  };
  Json longer = chat({user(std::string(600, 'a'))});
  EXPECT_EQ(param(longer), "messages");
  EXPECT_EQ(test.post(kPath, longer).json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(param(chat({user("a")}, 4096)), "max_tokens");
  EXPECT_EQ(param({{"messages", {user("a")}}, {"max_completion_tokens", 4096}}),
            "max_completion_tokens");
  Json body = chat({user("a")});
  body["chat_template_kwargs"] = {{"fails", true}};
  EXPECT_EQ(param(body), "messages") << "the template refuses them";
  body = chat({user("a")});
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", 3}};
  EXPECT_EQ(param(body), "stream_options");
  EXPECT_EQ(test.ask("POST", kPath, "{").json()["error"]["param"], nullptr) << "it is no field's";
}

TEST(Chat, TellsThePromptsTokensBesideTheChoices) {
  TestServer test;
  Json body = chat({user("hi")}, 2);
  body.update({{"return_token_ids", true}, {"prompt_logprobs", 0}, {"n", 2}});
  Json whole = test.post(kPath, body).json();
  EXPECT_EQ(whole["prompt_token_ids"].size(), 19u);
  EXPECT_EQ(whole["prompt_logprobs"].size(), 19u);
  EXPECT_FALSE(whole["choices"][0].contains("prompt_token_ids"));
  EXPECT_FALSE(whole["choices"][0].contains("prompt_logprobs"));
  EXPECT_EQ(whole["choices"][0]["token_ids"].size(), 2u);
  body["stream"] = true;
  auto events = test.post(kPath, body).events();
  events.pop_back();
  int told = 0;
  for (const std::string& event : events) {
    Json json = Json::parse(event);
    told += json.contains("prompt_token_ids");
    if (!json.contains("prompt_token_ids")) continue;
    EXPECT_EQ(json["prompt_token_ids"], whole["prompt_token_ids"]);
    EXPECT_EQ(json["prompt_logprobs"], whole["prompt_logprobs"]);
  }
  EXPECT_EQ(told, 1);
}

TEST(Chat, SaysNullOfWhatNobodyAskedFor) {
  TestServer test;
  Json body = chat({user("hi")}, 2);
  const Json whole = test.post(kPath, body).json();
  EXPECT_EQ(whole.at("prompt_token_ids"), nullptr);
  EXPECT_EQ(whole.at("prompt_logprobs"), nullptr);
  EXPECT_EQ(whole.at("choices")[0].at("token_ids"), nullptr);
  body["stream"] = true;
  for (const std::string& event : test.post(kPath, body).events()) {
    EXPECT_EQ(event.find("token_ids"), std::string::npos) << "events are kept short: " << event;
    EXPECT_EQ(event.find("usage"), std::string::npos) << event;
  }
}

TEST(Chat, CountsToolsThatAreOnlyShown) {
  TestServer test;
  const Json tools = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  for (const Json& choice : {Json(nullptr), Json("auto"), Json("none"), Json("required")}) {
    auto answer = test.post(
        "/tokenize", {{"messages", {user("hi")}}, {"tools", tools}, {"tool_choice", choice}});
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.json()["count"], 19);
  }
  EXPECT_EQ(test.post("/tokenize", {{"messages", {user("hi")}}, {"chat_template", "x"}}).status,
            400)
      << "what a chat would refuse";
}

TEST(Chat, HandsSettingsOfReasoningToTheTemplate) {
  TestServer test;
  Json body = chat({user("hi")});
  body.update({{"reasoning_effort", "low"}, {"verbosity", "high"}});
  EXPECT_EQ(content_of(test.post(kPath, body)), TestServer::expected("[user]hi[assistant]low", 4));
}

TEST(Chat, UnknownMembersOfMessagesAreCountedOrRefused) {
  Json message = user("a");
  message["foo"] = 1;
  message["contents"] = "b";
  message["name"] = "c";
  const Json body = {{"messages", {user("a"), message}}, {"max_tokens", 1}};
  TestServer test;
  EXPECT_EQ(test.post(kPath, body).status, 200);
  EXPECT_NE(test.get("/metrics").body.find("tokamak:unknown_fields_total 2\n"), std::string::npos);

  TestServer::Setup setup;
  setup.server.strict_fields = true;
  TestServer strict(setup);
  const Answer answer = strict.post(kPath, body);
  EXPECT_EQ(answer.status, 400);
  EXPECT_TRUE(answer.json()["error"]["message"].get<std::string>().starts_with(
      "messages[1].foo is no member of a message"))
      << answer.body;
  EXPECT_EQ(strict.post(kPath, {{"messages", {user("a")}}, {"max_tokens", 1}}).status, 200);
}

}  // namespace
}  // namespace tokamak::server
