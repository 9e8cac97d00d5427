// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openai_fields.h"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

constexpr const char* kPaths[] = {"/v1/completions", "/v1/chat/completions"};

Json body_for(std::string_view path) {
  Json body = {{"max_tokens", 2}};
  if (path == kPaths[0]) {
    body["prompt"] = "hello";
  } else {
    body["messages"] = Json::array({{{"role", "user"}, {"content", "hello"}}});
  }
  return body;
}

TEST(OpenAiFields, AreEachNamedOnce) {
  std::set<std::string_view> names;
  for (const FieldRule& rule : field_rules()) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_TRUE(rule.completions || rule.chat) << rule.name;
    EXPECT_EQ(rule.asks_for_nothing != nullptr, rule.use == Use::kRefused) << rule.name;
    if (rule.use == Use::kNoEffect) {
      EXPECT_FALSE(rule.reason.empty()) << rule.name;
    }
  }
}

TEST(OpenAiFields, AreRefusedWhereTheyWouldBeIgnored) {
  TestServer test;
  for (const FieldRule& rule : field_rules()) {
    if (rule.use != Use::kRefused) continue;
    SCOPED_TRACE(rule.name);
    for (int i : {0, 1}) {
      if (!(i == 0 ? rule.completions : rule.chat)) continue;
      Json body = body_for(kPaths[i]);
      body[std::string(rule.name)] = nullptr;
      EXPECT_EQ(test.post(kPaths[i], body).status, 200);
      body[std::string(rule.name)] = {{"type", "something"}};
      auto answer = test.post(kPaths[i], body);
      EXPECT_EQ(answer.status, 400);
      EXPECT_EQ(answer.json()["error"]["param"], rule.name) << answer.body;
      EXPECT_EQ(answer.json()["error"]["code"], "unsupported");
    }
  }
}

/// Values that OpenAI's description of its API allows and that ask for nothing that is missing
/// here.
TEST(OpenAiFields, HaveTheValuesThatOpenAiAllows) {
  TestServer test;
  const Json completions = {{{"suffix", ""}},
                            {{"stop", ""}},
                            {{"seed", -9223372036854775807}},
                            {{"max_tokens", 0}},
                            {{"best_of", 0}},
                            {{"logprobs", 5}}};
  const Json both = {{{"stop", Json::array()}},
                     {{"stop", {"a", "b", "c", "d"}}},
                     {{"seed", 9223372036854775807}},
                     {{"n", 2}},
                     {{"logit_bias", Json::object()}},
                     {{"logit_bias", {{"5", -100}, {"6", 100}}}},
                     {{"user", ""}},
                     {{"stream", true}, {"stream_options", {{"include_obfuscation", false}}}},
                     {{"stream", true}, {"stream_options", Json::object()}},
                     {{"temperature", 2}, {"top_p", 1}},
                     {{"frequency_penalty", -2.0}, {"presence_penalty", 2.0}}};
  const Json chats = {
      {{"response_format", {{"type", "text"}}}},
      {{"response_format", {{"type", "text"}, {"json_schema", nullptr}}}},
      {{"structured_outputs", {{"json", nullptr}, {"regex", nullptr}}}},
      {{"documents", Json::array()}},
      {{"functions", Json::array()}, {"function_call", "auto"}},
      {{"tools", Json::array()}, {"tool_choice", "auto"}},
      {{"tool_choice", "none"}},
      {{"parallel_tool_calls", true}},
      {{"store", true}, {"metadata", {{"a", "b"}}}},
      {{"modalities", {"text"}}},
      {{"service_tier", "flex"}},
      {{"reasoning_effort", "medium"}},
      {{"verbosity", "medium"}},
      {{"prediction", {{"type", "content"}, {"content", "x"}}}},
      {{"prompt_cache_key", "k"}, {"prompt_cache_retention", "24h"}},
      {{"safety_identifier", "s"}},
      {{"logprobs", false}, {"top_logprobs", 0}},
      {{"max_completion_tokens", 1}},
      {{"messages",
        {{{"role", "developer"}, {"content", "d"}, {"name", "n"}},
         {{"role", "user"}, {"content", {{{"type", "text"}, {"text", "u"}}}}},
         {{"role", "assistant"}, {"content", {{{"type", "refusal"}, {"refusal", "no"}}}}},
         {{"role", "user"}, {"content", "u"}},
         {{"role", "assistant"},
          {"content", nullptr},
          {"refusal", nullptr},
          {"tool_calls",
           {{{"id", "1"},
             {"type", "function"},
             {"function", {{"name", "f"}, {"arguments", ""}}}}}}},
         {{"role", "tool"},
          {"tool_call_id", "1"},
          {"content", {{{"type", "text"}, {"text", "r"}}}}}}}}};
  auto expect_fine = [&](const char* path, const Json& fields) {
    Json body = body_for(path);
    body.update(fields);
    auto answer = test.post(path, body);
    EXPECT_EQ(answer.status, 200) << path << fields << answer.body;
  };
  for (const Json& fields : completions) expect_fine(kPaths[0], fields);
  for (const Json& fields : chats) expect_fine(kPaths[1], fields);
  for (const char* path : kPaths) {
    for (const Json& fields : both) expect_fine(path, fields);
  }
}

TEST(OpenAiFields, MayAllBeNullButThePrompt) {
  TestServer test;
  for (int i : {0, 1}) {
    Json body = body_for(kPaths[i]);
    for (const FieldRule& rule : field_rules()) {
      if ((i == 0 ? rule.completions : rule.chat) && !body.contains(std::string(rule.name)))
        body[std::string(rule.name)] = nullptr;
    }
    auto answer = test.post(kPaths[i], body);
    EXPECT_EQ(answer.status, 200) << answer.body;
  }
}

/// What the table says of a number's range is what the server does.
TEST(OpenAiFields, OfNumbersHaveTheRangesOfTheTable) {
  TestServer::Setup setup;
  setup.server.allow_priority = true;
  TestServer test(setup);
  auto status = [&](const FieldRule& rule, double value) {
    const char* path = kPaths[rule.completions ? 0 : 1];
    Json body = body_for(path);
    const bool whole = rule.kind.type == ValueKind::kInteger;
    body[std::string(rule.name)] = whole ? Json(static_cast<int64_t>(value)) : Json(value);
    if (rule.name == "top_logprobs") body["logprobs"] = true;
    auto answer = test.post(path, body);
    if (answer.status == 400) {
      EXPECT_EQ(answer.json()["error"]["param"], rule.name) << answer.body;
    }
    return answer.status;
  };
  int ranges = 0;
  for (const FieldRule& rule : field_rules()) {
    const ValueKind& kind = rule.kind;
    const bool wide = std::abs(kind.low) > 1e18;
    if (wide || (kind.type != ValueKind::kInteger && kind.type != ValueKind::kNumber)) continue;
    SCOPED_TRACE(rule.name);
    ++ranges;
    EXPECT_EQ(status(rule, kind.low), 200);
    EXPECT_EQ(status(rule, kind.low - 1), 400);
    if (kind.high > 1e18) continue;
    EXPECT_EQ(status(rule, kind.high), 200);
    EXPECT_EQ(status(rule, kind.high + 1), 400);
  }
  EXPECT_GE(ranges, 15);
}

TEST(OpenAiFields, ThatAreUnknownAreCountedOrRefused) {
  TestServer test;
  Json body = body_for(kPaths[0]);
  body["no_such_field"] = 1;
  EXPECT_EQ(test.post(kPaths[0], body).status, 200);
  EXPECT_NE(test.get("/metrics").body.find("tokamak:unknown_fields_total 1\n"), std::string::npos);

  TestServer::Setup setup;
  setup.server.strict_fields = true;
  TestServer strict(setup);
  auto answer = strict.post(kPaths[0], body);
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["param"], "no_such_field");
  EXPECT_EQ(strict.post(kPaths[0], body_for(kPaths[0])).status, 200);
}

/// Values at and beyond the ends of each number's range: never a 5xx, and each refusal names the
/// field.
TEST(OpenAiFields, OfNumbersKeepTheirRanges) {
  TestServer test;
  const Json values[] = {-1,
                         0,
                         1,
                         2,
                         21,
                         129,
                         INT32_MAX,
                         2147483648,
                         INT64_MAX,
                         UINT64_MAX,
                         INT64_MIN,
                         1e308,
                         -1e308,
                         0.5,
                         "1",
                         true,
                         Json::array({1}),
                         Json::object()};
  const char* fields[] = {"n",
                          "best_of",
                          "seed",
                          "max_tokens",
                          "min_tokens",
                          "truncate_prompt_tokens",
                          "temperature",
                          "top_p",
                          "top_k",
                          "min_p",
                          "frequency_penalty",
                          "presence_penalty",
                          "repetition_penalty",
                          "logprobs",
                          "prompt_logprobs",
                          "priority",
                          "stop",
                          "stop_token_ids",
                          "allowed_token_ids",
                          "logprob_token_ids",
                          "logit_bias",
                          "bad_words",
                          "echo",
                          "stream",
                          "ignore_eos",
                          "cache_salt",
                          "skip_special_tokens",
                          "stream_options"};
  for (const char* field : fields) {
    for (const Json& value : values) {
      SCOPED_TRACE(fmt::format("{} = {}", field, value.dump()));
      Json body = body_for(kPaths[0]);
      body[field] = value;
      auto answer = test.post(kPaths[0], body);
      EXPECT_TRUE(answer.status == 200 || answer.status == 400) << answer.status << answer.body;
      if (answer.status != 400) continue;
      const std::string message = answer.json()["error"]["message"];
      EXPECT_NE(message.find(field == std::string("truncate_prompt_tokens") ? "t" : field),
                std::string::npos)
          << message;
    }
  }
  EXPECT_TRUE(test.becomes_idle());
}

TEST(OpenAiFields, NameValueAndLimit) {
  TestServer test;
  const std::pair<Json, std::string> cases[] = {
      {{{"temperature", 200}}, "temperature is 200, must be between 0 and 100"},
      {{{"n", 1000000}}, "n is 1000000, must be between 1 and 128"},
      {{{"max_tokens", -1}}, "max_tokens is -1, must be between 0 and 9223372036854775807"},
      {{{"logprobs", 21}}, "logprobs is 21, must be between 0 and 20"},
      {{{"stop_token_ids", {1, 96}}}, "stop_token_ids[1] is 96, must be in [0, 96)"},
      {{{"logprob_token_ids", {1, 96}}}, "logprob_token_ids[1] is 96, must be in [0, 96)"},
      {{{"logprob_token_ids", {1, -2}}},
       "logprob_token_ids holds -2 at index 1, which is no token id"},
      {{{"logprob_token_ids", 3}},
       "'logprob_token_ids' must be a list of token ids, but is number"},
      {{{"best_of", 2}, {"n", 3}}, "best_of is 2, must be at least n, which is 3"},
      {{{"stream_options", {{"include_usage", true}}}}, "stream_options needs stream to be true"},
  };
  for (const auto& [fields, message] : cases) {
    Json body = body_for(kPaths[0]);
    body.update(fields);
    auto answer = test.post(kPaths[0], body);
    EXPECT_EQ(answer.status, 400) << message;
    EXPECT_EQ(answer.json()["error"]["message"], message);
    EXPECT_EQ(answer.json()["error"]["param"], fields.items().begin().key()) << answer.body;
  }
}

}  // namespace
}  // namespace tokamak::server
