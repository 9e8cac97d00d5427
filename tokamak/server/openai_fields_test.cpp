// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openai_fields.h"

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

TEST(OpenAiFields, ThatAskForNothingPass) {
  TestServer test;
  Json body = body_for(kPaths[1]);
  body.update({{"response_format", {{"type", "text"}}},
               {"use_beam_search", false},
               {"length_penalty", 1.0},
               {"functions", Json::array()},
               {"store", false},
               {"modalities", {"text"}},
               {"service_tier", "auto"},
               {"user", "me"},
               {"spaces_between_special_tokens", true}});
  EXPECT_EQ(test.post(kPaths[1], body).status, 200);
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
      {{{"max_tokens", 0}}, "max_tokens is 0, must be between 1 and 9223372036854775807"},
      {{{"logprobs", 21}}, "logprobs is 21, must be between 0 and 20"},
      {{{"stop_token_ids", {1, 96}}}, "stop_token_ids[1] is 96, must be in [0, 96)"},
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
