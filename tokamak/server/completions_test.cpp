// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kPath = "/v1/completions";

TEST(Completions, AnswerAPrompt) {
  TestServer test;
  auto answer = test.post(kPath, {{"model", "fake"}, {"prompt", "hello"}, {"max_tokens", 6}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  Json json = answer.json();
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["model"], "fake");
  EXPECT_TRUE(json["id"].get<std::string>().starts_with("cmpl-"));
  EXPECT_EQ(json["choices"][0]["text"], TestServer::expected("hello", 6));
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json["choices"][0]["logprobs"], nullptr);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 5);
  EXPECT_EQ(json["usage"]["completion_tokens"], 6);
  EXPECT_EQ(json["usage"]["total_tokens"], 11);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST(Completions, HaveSixteenTokensByDefault) {
  TestServer test;
  auto answer = test.post(kPath, {{"prompt", "hello"}});
  EXPECT_EQ(answer.json()["usage"]["completion_tokens"], 16) << answer.body;
}

TEST(Completions, HaveTheModelsOwnNumberOfTokensByDefault) {
  TestServer::Setup setup;
  setup.default_max_tokens = 30;
  TestServer test(setup);
  auto tokens = [&](std::string_view path, const Json& body) {
    auto answer = test.post(path, body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.json()["usage"]["completion_tokens"];
  };
  EXPECT_EQ(tokens(kPath, {{"prompt", "hello"}, {"ignore_eos", true}}), 30);
  EXPECT_EQ(tokens(kPath, {{"prompt", "hello"}, {"ignore_eos", true}, {"max_tokens", 40}}), 40)
      << "it is no limit";
  Json chat = {{"messages", {{{"role", "user"}, {"content", "hello"}}}}, {"ignore_eos", true}};
  EXPECT_EQ(tokens("/v1/chat/completions", chat), 30);
  // The context ends it earlier.
  EXPECT_EQ(tokens(kPath, {{"prompt", std::string(500, 'a')}, {"ignore_eos", true}}), 12);
  auto kserve =
      test.post("/v2/models/fake/generate", {{"text_input", "hello"}, {"ignore_eos", true}});
  EXPECT_EQ(kserve.json()["text_output"].get<std::string>().size(), 30u) << kserve.body;
}

TEST(Completions, HaveTheModelsLeastNumberOfTokensUnlessTheRequestAllowsFewer) {
  TestServer::Setup setup;
  setup.defaults.min_tokens = 10;
  TestServer test(setup);
  for (std::string path : {std::string(kPath), std::string("/v2/models/fake/generate")}) {
    const char* prompt = path == kPath ? "prompt" : "text_input";
    auto few = test.post(path, {{prompt, "hello"}, {"max_tokens", 5}});
    EXPECT_EQ(few.status, 200) << few.body;
    auto more = test.post(path, {{prompt, "hello"}, {"max_tokens", 5}, {"min_tokens", 6}});
    EXPECT_EQ(more.status, 400) << more.body;
  }
}

TEST(Completions, StreamTheSameText) {
  TestServer test;
  auto answer = test.post(kPath,
                          {{"prompt", "hello"},
                           {"max_tokens", 20},
                           {"stream", true},
                           {"stream_options", {{"include_usage", true}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.headers["content-type"], "text/event-stream; charset=utf-8");
  std::vector<std::string> events = answer.events();
  ASSERT_GE(events.size(), 3u);
  EXPECT_EQ(events.back(), "[DONE]");
  std::string text;
  std::string id = Json::parse(events.front())["id"];
  for (size_t i = 0; i + 2 < events.size(); ++i) {
    Json chunk = Json::parse(events[i]);
    EXPECT_EQ(chunk["id"], id);
    EXPECT_EQ(chunk["usage"], nullptr);
    text += chunk["choices"][0]["text"].get<std::string>();
    const bool last = i + 3 == events.size();
    EXPECT_EQ(chunk["choices"][0]["finish_reason"], last ? Json("length") : Json(nullptr));
  }
  EXPECT_EQ(text, TestServer::expected("hello", 20));
  Json usage = Json::parse(events[events.size() - 2]);
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 20);
}

TEST(Completions, TakeTokensAndListsOfPrompts) {
  TestServer test;
  Json ids = {'h' - ' ', 'i' - ' '};
  for (const Json& prompt : {Json(ids), Json::array({ids}), Json::array({"hi"})}) {
    auto answer = test.post(kPath, {{"prompt", prompt}, {"max_tokens", 4}});
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.json()["choices"][0]["text"], TestServer::expected("hi", 4));
  }
  auto answer =
      test.post(kPath, {{"prompt", {"one", "two", "three"}}, {"max_tokens", 4}, {"echo", true}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  Json choices = answer.json()["choices"];
  ASSERT_EQ(choices.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    const std::string prompt = std::vector<std::string>{"one", "two", "three"}[i];
    EXPECT_EQ(choices[i]["index"], i);
    EXPECT_EQ(choices[i]["text"], prompt + TestServer::expected(prompt, 4));
  }
  EXPECT_EQ(answer.json()["usage"]["prompt_tokens"], 11);
}

TEST(Completions, RefuseWhatIsNoPrompt) {
  TestServer test;
  for (const Json& prompt : {Json(3),
                             Json(true),
                             Json::object(),
                             Json::array({1, "a"}),
                             Json::array({-1}),
                             Json::array({kVocab}),
                             Json::array({1.5}),
                             Json::array({4294967296}),
                             Json::array({"a", 1}),
                             Json::array()}) {
    auto answer = test.post(kPath, {{"prompt", prompt}});
    EXPECT_EQ(answer.status, 400) << prompt;
    EXPECT_EQ(answer.json()["error"]["param"], "prompt") << prompt << answer.body;
  }
  auto answer = test.post(kPath, Json::object());
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["message"], "'prompt' is missing");
}

TEST(Completions, GiveSeveralAnswersAndTheBestOnes) {
  TestServer test;
  Json body = {{"prompt", "hello"}, {"max_tokens", 4}, {"n", 3}};
  Json choices = test.post(kPath, body).json()["choices"];
  ASSERT_EQ(choices.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(choices[i]["index"], i);
    EXPECT_EQ(choices[i]["text"], TestServer::expected("hello", 4));
  }
  body["best_of"] = 5;
  auto best = test.post(kPath, body);
  EXPECT_EQ(best.json()["choices"].size(), 3u) << best.body;
  EXPECT_EQ(best.json()["usage"]["completion_tokens"], 20);
  body["best_of"] = 2;
  EXPECT_EQ(test.post(kPath, body).status, 400);
  body["best_of"] = 5;
  body["stream"] = true;
  EXPECT_EQ(test.post(kPath, body).status, 400);
}

TEST(Completions, ScoreAPromptWithoutAnAnswer) {
  TestServer test;
  auto answer =
      test.post(kPath, {{"prompt", "hello"}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  Json choice = answer.json()["choices"][0];
  EXPECT_EQ(choice["text"], "hello");
  EXPECT_EQ(choice["logprobs"]["tokens"], Json({"h", "e", "l", "l", "o"}));
  EXPECT_EQ(choice["logprobs"]["token_logprobs"][0], nullptr);
  EXPECT_TRUE(choice["logprobs"]["token_logprobs"][4].is_number());
  EXPECT_EQ(choice["logprobs"]["text_offset"], Json({0, 1, 2, 3, 4}));
  EXPECT_EQ(answer.json()["usage"]["completion_tokens"], 0);
}

TEST(Completions, ReadAPromptWithoutAnAnswer) {
  TestServer test;
  Json body = {{"prompt", "hello"}, {"max_tokens", 0}};
  Json json = test.post(kPath, body).json();
  EXPECT_EQ(json["choices"][0]["text"], "");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json["usage"]["completion_tokens"], 0);
  // The token that is drawn and thrown away ends nothing.
  body["stop"] = TestServer::expected("hello", 1);
  json = test.post(kPath, body).json();
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json["choices"][0]["stop_reason"], nullptr);
  body["stream"] = true;
  auto events = test.post(kPath, body).events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(Json::parse(events[0])["choices"][0]["text"], "");
}

TEST(Completions, TakeEverySeedOf64Bits) {
  TestServer test;
  test.fake->uses_seeds = true;
  auto text = [&](const Json& seed) {
    auto answer = test.post(kPath, {{"prompt", "hello"}, {"max_tokens", 12}, {"seed", seed}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.json()["choices"][0]["text"].get<std::string>();
  };
  std::set<std::string> texts;
  for (const Json& seed : {Json(0),
                           Json(5),
                           Json(-5),
                           Json(-2),
                           Json(INT64_MAX),
                           Json(INT64_MIN + 7),
                           Json(UINT64_MAX - 9)}) {
    const std::string first = text(seed);
    EXPECT_EQ(text(seed), first) << seed;
    EXPECT_TRUE(texts.insert(first).second) << seed;
  }
}

TEST(Completions, SayWhereThePromptIsTooLong) {
  TestServer test;
  auto error = [&](const Json& body) {
    auto answer = test.post(kPath, body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_EQ(answer.json()["error"]["type"], "invalid_request_error");
    EXPECT_EQ(answer.json()["error"]["code"], "context_length_exceeded");
    return answer.json()["error"];
  };
  Json alone = error({{"prompt", std::string(512, 'a')}});
  EXPECT_EQ(alone["param"], "prompt");
  EXPECT_EQ(alone["message"],
            "prompt has 512 tokens, which leaves no room for an answer. This model's maximum "
            "context length is 512 tokens.\nhint: shorten it to at most 511 tokens");
  Json together = error({{"prompt", {"hi", std::string(500, 'a')}}, {"max_tokens", 13}});
  EXPECT_EQ(together["param"], "max_tokens");
  EXPECT_EQ(together["message"],
            "max_tokens is 13, and prompt has 500 tokens. This model's maximum context length is "
            "512 tokens.\nhint: set max_tokens to at most 12");
  EXPECT_EQ(error({{"prompt", "a"}, {"max_tokens", INT64_MAX}})["param"], "max_tokens");
  EXPECT_EQ(test.executor->stats().requests, 0) << "of a request with one that is too long, none";
  EXPECT_EQ(test.post(kPath, {{"prompt", std::string(500, 'a')}, {"max_tokens", 12}}).status, 200);

  TestServer::Setup setup;
  setup.session.num_pages = 2;
  TestServer small(setup);
  auto answer = small.post(kPath, {{"prompt", std::string(129, 'a')}});
  EXPECT_EQ(answer.json()["error"]["message"],
            "prompt has 129 tokens, which leaves no room for an answer. This model's maximum "
            "context length is 129 tokens (of its KV cache).\nhint: shorten it to at most 128 "
            "tokens");
  EXPECT_EQ(small.post(kPath, {{"prompt", std::string(128, 'a')}, {"max_tokens", 1}}).status, 200);
}

TEST(Completions, TellThePromptsTokensWithEachChoice) {
  TestServer test;
  Json body = {{"prompt", {"ab", "c"}},
               {"max_tokens", 3},
               {"return_token_ids", true},
               {"prompt_logprobs", 0}};
  Json whole = test.post(kPath, body).json();
  EXPECT_EQ(whole["choices"][0]["prompt_token_ids"], Json({'a' - ' ', 'b' - ' '}));
  EXPECT_EQ(whole["choices"][1]["prompt_token_ids"], Json({'c' - ' '}));
  EXPECT_EQ(whole["choices"][0]["prompt_logprobs"].size(), 2u);
  body["stream"] = true;
  std::map<int, Json> ids, logprobs;
  for (const std::string& event : test.post(kPath, body).events()) {
    if (event == "[DONE]") continue;
    Json choice = Json::parse(event)["choices"][0];
    if (choice.contains("prompt_logprobs")) logprobs[choice["index"]] = choice["prompt_logprobs"];
    if (!choice.contains("prompt_token_ids")) continue;
    EXPECT_FALSE(ids.contains(choice["index"])) << "once";
    ids[choice["index"]] = choice["prompt_token_ids"];
  }
  for (int i : {0, 1}) {
    EXPECT_EQ(ids[i], whole["choices"][i]["prompt_token_ids"]);
    EXPECT_EQ(logprobs[i], whole["choices"][i]["prompt_logprobs"]);
  }
}

TEST(Completions, SayNullOfWhatNobodyAskedFor) {
  TestServer test;
  const Json whole = test.post(kPath, {{"prompt", "ab"}}).json();
  for (const char* name : {"prompt_token_ids", "prompt_logprobs", "token_ids"}) {
    EXPECT_EQ(whole["choices"][0].at(name), nullptr) << name;
  }
}

TEST(Completions, TellUsageInEachEventOnlyWhereItIsIncluded) {
  TestServer test;
  for (bool include : {false, true}) {
    Json body = {{"prompt", "ab"}, {"max_tokens", 3}, {"stream", true}};
    body["stream_options"] = {{"include_usage", include}, {"continuous_usage_stats", true}};
    for (const std::string& event : test.post(kPath, body).events()) {
      if (event == "[DONE]") continue;
      EXPECT_EQ(Json::parse(event).contains("usage"), include) << event;
    }
  }
}

TEST(Completions, TellTheLogprobOfTheTokenItselfFirst) {
  TestServer test;
  const auto answer =
      test.post(kPath, {{"prompt", "abc"}, {"max_tokens", 3}, {"echo", true}, {"logprobs", 3}});
  const auto scores = nlohmann::ordered_json::parse(answer.body)["choices"][0]["logprobs"];
  ASSERT_EQ(scores["tokens"].size(), 6u);
  for (size_t i = 1; i < 6; ++i) {
    EXPECT_EQ(scores["top_logprobs"][i].begin().key(), scores["tokens"][i]) << i;
    EXPECT_EQ(*scores["top_logprobs"][i].begin(), scores["token_logprobs"][i]) << i;
  }
}

TEST(Completions, TellTheLogprobsOfNamedTokens) {
  TestServer test;
  const std::string text = TestServer::expected("abc", 3);
  const std::vector<int32_t> prompt = {'a' - ' ', 'b' - ' ', 'c' - ' '};
  for (bool stream : {false, true}) {
    for (const Json& logprobs : {Json(nullptr), Json(0)}) {
      Json body = {{"prompt", "abc"}, {"max_tokens", 3}, {"logprobs", logprobs}};
      body.update({{"stream", stream}, {"logprob_token_ids", {33, 34, 33}}});
      const Answer answer = test.post(kPath, body);
      ASSERT_EQ(answer.status, 200) << answer.body;
      std::vector<Json> parts;
      if (!stream) parts.push_back(answer.json());
      for (const std::string& event : stream ? answer.events() : std::vector<std::string>()) {
        if (event != "[DONE]") parts.push_back(Json::parse(event));
      }
      std::vector<int32_t> before = prompt;
      size_t told = 0;
      for (const Json& part : parts) {
        const Json& scores = part["choices"][0]["logprobs"];
        for (size_t i = 0; i < scores["tokens"].size(); ++i, ++told) {
          const int32_t token = text.at(told) - ' ';
          EXPECT_EQ(scores["tokens"][i], std::string(1, text[told]));
          EXPECT_EQ(scores["token_logprobs"][i].get<float>(),
                    executor::FakeSession::logprob(before, token));
          std::set<std::string> expected = {std::string(1, text[told]), "A", "B"}, got;
          for (const auto& [name, logprob] : scores["top_logprobs"][i].items()) {
            got.insert(name);
            EXPECT_EQ(logprob.get<float>(), executor::FakeSession::logprob(before, name[0] - ' '));
          }
          EXPECT_EQ(got, expected);
          before.push_back(token);
        }
      }
      EXPECT_EQ(told, 3u);
    }
  }
  // Ids in place of texts, which two tokens may share; and none are asked for.
  Json named = {{"prompt", "abc"}, {"max_tokens", 1}, {"logprob_token_ids", {33}}};
  named["return_tokens_as_token_ids"] = true;
  const Json top = test.post(kPath, named).json()["choices"][0]["logprobs"]["top_logprobs"][0];
  EXPECT_TRUE(top.contains("token_id:33")) << top;
  named["logprob_token_ids"] = Json::array();
  EXPECT_EQ(test.post(kPath, named).json()["choices"][0]["logprobs"], nullptr);
}

TEST(Completions, NamedTokensAreThoseOfTheAnswer) {
  TestServer test;
  const Json body = {{"prompt", "abc"},
                     {"max_tokens", 2},
                     {"echo", true},
                     {"ignore_eos", true},
                     {"logprob_token_ids", {33, 34}}};
  const Json scores = test.post(kPath, body).json()["choices"][0]["logprobs"];
  ASSERT_EQ(scores["tokens"].size(), 5u) << scores;
  EXPECT_EQ(scores["top_logprobs"][1].size(), 1u) << "the prompt's token itself";
  EXPECT_TRUE(scores["top_logprobs"][3].contains("A"));
}

/// The text, tokens and offsets of a completion, streamed or not.
struct Scored {
  std::string text;
  std::vector<std::string> tokens;
  std::vector<int64_t> offsets;
  int64_t prompt_tokens = 0;
};

Scored score(const TestServer& test, Json body, bool stream) {
  body.update({{"echo", true}, {"logprobs", 1}, {"ignore_eos", true}, {"stream", stream}});
  if (stream) body["stream_options"] = {{"include_usage", true}};
  const Answer answer = test.post(kPath, body);
  EXPECT_EQ(answer.status, 200) << answer.body;
  std::vector<std::string> parts = stream ? answer.events() : std::vector{answer.body};
  Scored scored;
  for (const std::string& part : parts) {
    if (part == "[DONE]") continue;
    const Json json = Json::parse(part);
    if (json["usage"].is_object()) scored.prompt_tokens = json["usage"]["prompt_tokens"];
    if (json["choices"].empty()) continue;
    const Json& choice = json["choices"][0];
    scored.text += choice["text"].get<std::string>();
    for (const Json& token : choice["logprobs"]["tokens"]) scored.tokens.push_back(token);
    for (const Json& offset : choice["logprobs"]["text_offset"]) scored.offsets.push_back(offset);
  }
  EXPECT_EQ(scored.tokens.size(), scored.offsets.size());
  return scored;
}

std::string joined(const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

TEST(Completions, EchoWhatIsLeftOfAPromptThatIsCut) {
  TestServer test;
  const Json ids = {'h' - ' ', 'e' - ' ', 'l' - ' ', 'l' - ' ', 'o' - ' '};
  for (bool stream : {false, true}) {
    for (const Json& prompt : {Json("hello"), ids}) {
      const Scored scored = score(
          test, {{"prompt", prompt}, {"truncate_prompt_tokens", 2}, {"max_tokens", 3}}, stream);
      EXPECT_EQ(scored.text, "lo" + TestServer::expected("lo", 3));
      EXPECT_EQ(joined(scored.tokens), scored.text);
      EXPECT_EQ(scored.offsets, (std::vector<int64_t>{0, 1, 2, 3, 4}));
      EXPECT_EQ(scored.prompt_tokens, 2);
    }
  }
}

TEST(Completions, EchoSpecialTokensThatWereSent) {
  TestServer test;
  for (bool stream : {false, true}) {
    for (const Json& prompt : {Json({kEos, kEos, 'a' - ' '}), Json("<end><end>a")}) {
      const Scored scored = score(test, {{"prompt", prompt}, {"max_tokens", 2}}, stream);
      EXPECT_TRUE(scored.text.starts_with("<end><end>a")) << scored.text;
      EXPECT_EQ(joined(scored.tokens), scored.text);
      EXPECT_EQ(scored.offsets, (std::vector<int64_t>{0, 5, 10, 11, 12}));
    }
  }
}

TEST(Completions, GiveTokensThatTheTextLeavesOutTheOffsetOfWhatFollows) {
  TestServer::Setup setup;
  setup.load = false;
  TestServer test(setup);
  test.on_sample = [](const runtime::SampleRow& row) {
    std::optional<Result<runtime::Sampled>> chosen;
    if (row.context.given < 0 && row.context.position == 3)
      chosen = runtime::Sampled{.token = kEos};
    return chosen;
  };
  test.load();
  for (bool stream : {false, true}) {
    for (bool skip : {false, true}) {
      const Scored scored =
          score(test, {{"prompt", "ab"}, {"max_tokens", 3}, {"skip_special_tokens", skip}}, stream);
      ASSERT_EQ(scored.tokens.size(), 5u);
      EXPECT_EQ(scored.tokens[3], "<end>");
      const int64_t after = skip ? 3 : 8;
      EXPECT_EQ(scored.offsets, (std::vector<int64_t>{0, 1, 2, 3, after}));
      EXPECT_EQ(scored.text.substr(after), scored.tokens[4]);
    }
  }
}

TEST(Completions, EndBeforeAStopTextThatIsASpecialToken) {
  TestServer::Setup setup;
  setup.load = false;
  TestServer test(setup);
  test.on_sample = [](const runtime::SampleRow& row) {
    std::optional<Result<runtime::Sampled>> chosen;
    if (row.context.position == 3) chosen = runtime::Sampled{.token = kEos};
    return chosen;
  };
  test.load();
  const Answer answer = test.post(kPath,
                                  {{"prompt", "ab"},
                                   {"max_tokens", 9},
                                   {"ignore_eos", true},
                                   {"stop", {"no such text", "<end>"}}});
  const Json choice = answer.json()["choices"][0];
  EXPECT_EQ(choice["text"].get<std::string>().size(), 1u) << answer.body;
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["stop_reason"], "<end>");
  const Answer words = test.post(
      "/v2/models/fake/generate",
      {{"text_input", "ab"}, {"max_tokens", 9}, {"ignore_eos", true}, {"stop_words", {"<end>"}}});
  EXPECT_EQ(words.json()["text_output"], choice["text"]) << words.body;
}

TEST(Completions, EndBeforeAStopText) {
  TestServer test;
  const std::string whole = TestServer::expected("hello", 12);
  const std::string stop = whole.substr(5, 2);
  for (bool include : {false, true}) {
    auto answer = test.post(kPath,
                            {{"prompt", "hello"},
                             {"max_tokens", 12},
                             {"stop", stop},
                             {"include_stop_str_in_output", include}});
    Json choice = answer.json()["choices"][0];
    EXPECT_EQ(choice["text"], whole.substr(0, whole.find(stop) + (include ? 2 : 0))) << answer.body;
    EXPECT_EQ(choice["finish_reason"], "stop");
    EXPECT_EQ(choice["stop_reason"], stop);
  }
}

TEST(Completions, RepeatTheRequestId) {
  TestServer test;
  auto answer = test.ask("POST", kPath, R"({"prompt":"a"})", "X-Request-Id: abc-1\r\n");
  EXPECT_EQ(answer.headers["x-request-id"], "abc-1");
  EXPECT_EQ(answer.json()["id"], "cmpl-abc-1");
  answer = test.post(kPath, {{"prompt", "a"}, {"request_id", "mine"}});
  EXPECT_EQ(answer.json()["id"], "cmpl-mine");
  answer = test.post(kPath, {{"prompt", "a"}, {"request_id", "a\r\nSet-Cookie: b"}});
  EXPECT_EQ(answer.status, 400);
}

TEST(Completions, ErrorsNameFieldsOnlyAsTheirParam) {
  TestServer::Setup setup;
  setup.load = false;
  TestServer test(setup);
  test.on_sample = [](const runtime::SampleRow&) -> std::optional<Result<runtime::Sampled>> {
    return base::invalid("no token may be chosen for position 4");
  };
  test.load();
  auto param = [&](const Json& fields) {
    Json body = {{"prompt", "Once"}, {"max_tokens", 2}};
    body.update(fields);
    const Answer answer = test.post("/v1/completions", body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return answer.json()["error"]["param"];
  };
  EXPECT_EQ(param({{"min_tokens", 2}}), nullptr) << "no is a word of the sentence";
  EXPECT_EQ(param({{"temperature", 200}}), "temperature");
  EXPECT_EQ(param({{"n", "a"}}), "n");
  EXPECT_EQ(param({{"stop_token_ids", {1, kVocab}}}), "stop_token_ids");
  EXPECT_EQ(param({{"stream", true}, {"stream_options", {{"include_obfuscation", true}}}}),
            "stream_options.include_obfuscation");
  const Answer wrong = test.post("/v1/chat/completions",
                                 {{"messages", Json::array({{{"role", "user"}, {"content", 3}}})}});
  EXPECT_EQ(wrong.json()["error"]["param"], "messages") << wrong.body;
}

}  // namespace
}  // namespace tokamak::server
