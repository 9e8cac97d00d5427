// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include <gtest/gtest.h>

#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/kserve_tensors.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

Json text_input(const Json& texts) {
  return {
      {"name", "text_input"}, {"datatype", "BYTES"}, {"shape", {texts.size()}}, {"data", texts}};
}
Json scalar(const char* name, const char* datatype, const Json& value) {
  return {{"name", name}, {"datatype", datatype}, {"shape", {1}}, {"data", {value}}};
}

TEST(KServe, DescribesServerAndModel) {
  TestServer test;
  EXPECT_EQ(test.get("/v2").json()["name"], "tokamak");
  for (const char* path : {"/v2/models/fake", "/v2/models/fake/versions/1"}) {
    Json model = test.get(path).json();
    EXPECT_EQ(model["name"], "fake") << path;
    EXPECT_EQ(model["inputs"][0]["name"], "text_input");
    EXPECT_EQ(model["outputs"][0]["datatype"], "BYTES");
    EXPECT_EQ(test.get(std::string(path) + "/ready").status, 200);
  }
  Json model = test.get("/v2/models/fake").json();
  auto has = [&](const char* name, const char* datatype) {
    return std::find(model["inputs"].begin(),
                     model["inputs"].end(),
                     Json({{"name", name}, {"datatype", datatype}, {"shape", {-1}}})) !=
           model["inputs"].end();
  };
  EXPECT_TRUE(has("max_tokens", "INT32"));
  EXPECT_TRUE(has("stop_words", "BYTES"));
  EXPECT_FALSE(has("beam_width", "INT32")) << "it cannot be asked for";
  EXPECT_EQ(test.get("/v2/models/other").status, 404);
  EXPECT_EQ(test.get("/v2/models/other/ready").status, 404);
}

TEST(KServe, AnswersWhatTritonsClientsAsk) {
  TestServer test;
  ASSERT_EQ(test.post("/v2/models/fake/generate", {{"text_input", "a"}, {"max_tokens", 3}}).status,
            200);
  ASSERT_TRUE(test.becomes_idle());
  for (const std::string path : {"/v2/models/fake", "/v2/models/fake/versions/1"}) {
    Json config = test.get(path + "/config").json();
    EXPECT_EQ(config["name"], "fake");
    EXPECT_EQ(config["input"][0],
              Json({{"name", "text_input"}, {"data_type", "TYPE_STRING"}, {"dims", {-1}}}));
    Json stats = test.get(path + "/stats").json()["model_stats"][0];
    EXPECT_EQ(stats["inference_count"], 1);
    EXPECT_EQ(stats["inference_stats"]["success"]["count"], 1);
    EXPECT_GT(stats["inference_stats"]["compute_infer"]["ns"].get<int64_t>(), 0);
    EXPECT_EQ(stats["inference_stats"]["fail"]["count"], 0);
  }
  EXPECT_EQ(test.get("/v2/models/stats").json()["model_stats"][0]["name"], "fake");
  const Json index = {{{"name", "fake"}, {"version", "1"}, {"state", "READY"}, {"reason", ""}},
                      {{"name", "alias"}, {"version", "1"}, {"state", "READY"}, {"reason", ""}}};
  EXPECT_EQ(test.ask("POST", "/v2/repository/index").json(), index);
  EXPECT_EQ(test.post("/v2/repository/index", {{"ready", true}}).json(), index);
  EXPECT_EQ(test.get("/v2/models/other/config").status, 404);
  auto unknown = test.get("/v2/models/fake/trace/setting");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["error"], "path '/trace/setting' is none of model 'fake'");
  EXPECT_EQ(test.get("/v2/models/fake/versions/2").json()["error"],
            "path '/versions/2' is none of model 'fake'");
}

TEST(KServe, InfersFromJson) {
  TestServer test;
  Json body = {{"id", "7"},
               {"inputs", {text_input({"hello", "you"}), scalar("max_tokens", "INT32", 5)}},
               {"outputs", {{{"name", "text_output"}}}}};
  auto answer = test.post("/v2/models/fake/infer", body);
  ASSERT_EQ(answer.status, 200) << answer.body;
  Json json = answer.json();
  EXPECT_EQ(json["id"], "7");
  EXPECT_EQ(json["model_name"], "fake");
  EXPECT_EQ(json["outputs"][0]["shape"], Json({2}));
  EXPECT_EQ(json["outputs"][0]["data"],
            Json({TestServer::expected("hello", 5), TestServer::expected("you", 5)}));
}

TEST(KServe, InfersFromBinary) {
  TestServer test;
  std::string behind = binary_texts({"hello"});
  const int32_t max_tokens = 6;
  behind.append(reinterpret_cast<const char*>(&max_tokens), 4);
  Json json = {{"inputs",
                {{{"name", "text_input"},
                  {"datatype", "BYTES"},
                  {"shape", {1, 1}},
                  {"parameters", {{"binary_data_size", 9}}}},
                 {{"name", "max_tokens"},
                  {"datatype", "INT32"},
                  {"shape", {1}},
                  {"parameters", {{"binary_data_size", 4}}}}}},
               {"parameters", {{"binary_data_output", true}}}};
  const std::string head = json.dump();
  auto answer = test.ask("POST",
                         "/v2/models/fake/infer",
                         head + behind,
                         fmt::format("Content-Type: application/octet-stream\r\n"
                                     "Inference-Header-Content-Length: {}\r\n",
                                     head.size()));
  ASSERT_EQ(answer.status, 200) << answer.body;
  const size_t size = std::stoul(answer.headers["inference-header-content-length"]);
  Json reply = Json::parse(answer.body.substr(0, size));
  EXPECT_EQ(reply["outputs"][0]["shape"], Json({1, 1}));
  EXPECT_EQ(answer.body.substr(size), binary_texts({TestServer::expected("hello", 6)}));
  EXPECT_EQ(reply["outputs"][0]["parameters"]["binary_data_size"], answer.body.size() - size);
}

std::string why(const Json& json, std::string_view behind = {}) {
  const std::string head = json.dump();
  auto parsed = parse_infer(head + std::string(behind), head.size());
  return parsed.ok() ? "" : parsed.error().message;
}

TEST(KServe, ChecksTensorsAgainstTheirShapes) {
  auto binary = [](const char* datatype, const Json& shape, int64_t size) -> Json {
    return {{"inputs",
             {{{"name", "x"},
               {"datatype", datatype},
               {"shape", shape},
               {"parameters", {{"binary_data_size", size}}}}}}};
  };
  EXPECT_EQ(why(binary("INT32", {1}, 4), std::string(4, 1)), "");
  EXPECT_EQ(why(binary("INT32", {2}, 4), std::string(4, 1)), "x has 4 bytes, its shape says 8");
  EXPECT_EQ(why(binary("INT32", {1}, 5), std::string(4, 1)),
            "x has a binary_data_size of 5 with 4 bytes left");
  EXPECT_EQ(why(binary("INT32", {1}, -4), std::string(4, 1)),
            "x has a binary_data_size of -4 with 4 bytes left");
  EXPECT_EQ(why(binary("INT32", {1}, 4), std::string(5, 1)),
            "body has 1 bytes behind the last binary input");
  EXPECT_EQ(why(binary("INT32", {-1}, 4), std::string(4, 1)), "x has the dimension -1");
  EXPECT_EQ(why(binary("INT8", {INT64_MAX, INT64_MAX}, 4), std::string(4, 1)),
            "x has more than 1000000 elements");
  EXPECT_EQ(why(binary("BYTES", {1}, 4), std::string("\xff\xff\xff\xff", 4)),
            "x has a text of 4294967295 bytes with 0 bytes left");
  EXPECT_EQ(why(binary("BYTES", {2}, 4), std::string(4, 0)), "x ends inside the length of a text");
  EXPECT_EQ(why(binary("FP32", {1}, 4), std::string("\x00\x00\xc0\x7f", 4)),
            "x holds a value that is no finite number");
  EXPECT_EQ(why(binary("FP16", {1}, 2), "aa"), "x has the datatype 'FP16', which is not read");
  EXPECT_EQ(why({{"inputs", {scalar("x", "INT32", "a")}}}), "x holds a string where INT32 is due");
  EXPECT_EQ(
      why({{"inputs", {{{"name", "x"}, {"datatype", "INT32"}, {"shape", {2}}, {"data", {1}}}}}}),
      "x has 1 values, its shape says 2");
  EXPECT_EQ(why(Json::object()), "'inputs' is missing");
  EXPECT_FALSE(parse_infer("{}", 3).ok());
}

TEST(KServe, RefusesWhatItCannotInfer) {
  TestServer test;
  const Json bodies[] = {
      {{"inputs", {scalar("max_tokens", "INT32", 5)}}},
      {{"inputs", {text_input({"a"}), text_input({"b"})}}},
      {{"inputs", {text_input(Json::array())}}},
      {{"inputs", {scalar("text_input", "INT32", 5)}}},
      {{"inputs", {text_input({"a"})}}, {"outputs", {{{"name", "logits"}}}}},
      {{"inputs", {text_input({"a"}), scalar("top_k", "INT32", 1), scalar("top_k", "INT32", 1)}}},
      {{"inputs", {text_input({"a"}), scalar("beam_width", "INT32", 4)}}},
      {{"inputs", {text_input({"a"}), scalar("max_tokens", "INT32", 0)}}},
      {{"inputs", {text_input({"a"})}}, {"parameters", 3}},
  };
  for (const Json& body : bodies) {
    auto answer = test.post("/v2/models/fake/infer", body);
    EXPECT_EQ(answer.status, 400) << body << answer.body;
    EXPECT_TRUE(answer.json()["error"].is_string()) << body;
  }
}

/// The answer's text, or the error's.
std::string generated(const TestServer& test, const Json& parameters) {
  Json body = {{"text_input", "hello"}, {"max_tokens", 6}, {"temperature", 0}};
  body.update(parameters);
  Json json = test.post("/v2/models/fake/generate", body).json();
  return json.contains("error") ? json["error"] : json["text_output"];
}

TEST(KServe, HonoursEachParameterOrRefusesItByName) {
  TestServer test;
  const std::string whole = generated(test, Json::object());
  ASSERT_EQ(whole, TestServer::expected("hello", 6));
  for (const ParameterRule& rule : parameter_rules()) {
    SCOPED_TRACE(rule.name);
    const std::string name(rule.name);
    if (name != "max_tokens") {
      EXPECT_EQ(generated(test, {{name, nullptr}}), whole);
    }
    if (rule.use == Use::kNoEffect) {
      EXPECT_FALSE(rule.reason.empty());
      EXPECT_EQ(generated(test, {{name, 7}}), whole);
      continue;
    }
    // No parameter takes an object, but the one that is an object of numbers.
    const std::string error = generated(test, {{name, {{"x", "y"}}}});
    EXPECT_NE(error.find(name), std::string::npos) << error;
  }
  for (const char* unknown :
       {"top_q", "input_lengths", "sampling_parameters", "logprobs", "logprob_token_ids"}) {
    EXPECT_EQ(generated(test, {{unknown, 1}}),
              fmt::format("'{}' is no parameter of this endpoint", unknown));
    Json tensor = scalar(unknown, "INT32", 1);
    auto answer = test.post("/v2/models/fake/infer", {{"inputs", {text_input({"a"}), tensor}}});
    EXPECT_EQ(answer.status, 400) << answer.body;
    auto prediction = test.post("/v1/models/fake:predict", {{"prompt", "a"}, {unknown, 1}});
    EXPECT_EQ(prediction.json()["error"]["param"], unknown);
  }
}

TEST(KServe, TakesWhatAsksForNothing) {
  TestServer test;
  const std::string whole = TestServer::expected("hello", 6);
  const Json nothing[] = {
      {{"bad_words", ""}, {"stop_words", ""}, {"embedding_bias_words", ""}},
      {{"bad_words", {""}}, {"stop_words", {""}}, {"embedding_bias_words", {""}}},
      {{"bad_words", Json::array({Json::array()})}, {"stop_words", Json::array({Json::array()})}},
      {{"bad_words", Json::array()}, {"embedding_bias_weights", Json::array()}},
      {{"beam_width", 1}, {"return_log_probs", false}, {"num_return_sequences", 1}},
      {{"pad_id", 2}, {"length_penalty", 1.5}, {"early_stopping", false}},
      {{"stop", false}, {"stream", false}, {"priority", 0}, {"timeout", 0}},
      {{"end_id", -1}, {"max_tokens", Json::array({Json::array({6})})}},
      {{"runtime_top_k", 1}, {"top_k", 1}, {"max_new_tokens", 6}}};
  for (const Json& parameters : nothing)
    EXPECT_EQ(generated(test, parameters), whole) << parameters;
}

TEST(KServe, EndsAtTheGivenEnd) {
  TestServer test;
  const std::string whole = TestServer::expected("hello", 6);
  const int32_t third = whole[2] - ' ';
  const std::string before = whole.substr(0, whole.find(whole[2]));
  EXPECT_EQ(generated(test, {{"end_id", third}}), before);
  EXPECT_EQ(generated(test, {{"parameters", {{"end_id", third}}}}), before);
  EXPECT_EQ(generated(test, {{"stop_words", Json::array({Json::array({"", whole.substr(2, 1)})})}}),
            before);
  EXPECT_EQ(generated(test, {{"end_id", 96}}), "end_id is 96, must be between -1 and 95");
}

TEST(KServe, NamesParametersAsTheClientDoes) {
  TestServer test;
  const std::pair<Json, const char*> cases[] = {
      {{{"runtime_top_k", -7}}, "runtime_top_k is -7, must be at least -1"},
      {{{"random_seed", "x"}}, "'random_seed' must be an integer"},
      {{{"stop_words", std::vector<std::string>(17, "a")}},
       "stop_words has 17 texts, at most 16 are allowed"},
      {{{"max_new_tokens", 5}}, "max_new_tokens and its other name contradict each other"},
      {{{"beam_width", 4}}, "'beam_width' is not supported\nhint: there is no beam search"},
      {{{"max_tokens", 600}},
       "max_tokens is 600, and text_input has 5 tokens. This model's maximum context length is 512 "
       "tokens.\nhint: set max_tokens to at most 507"}};
  for (const auto& [parameters, error] : cases)
    EXPECT_TRUE(generated(test, parameters).starts_with(error)) << generated(test, parameters);
}

TEST(KServe, GivesEachTextItsRowOfParameters) {
  TestServer test;
  auto rows = [](const char* name, const char* datatype, const Json& values) -> Json {
    return {{"name", name}, {"datatype", datatype}, {"shape", {2, 1}}, {"data", values}};
  };
  Json texts = rows("text_input", "BYTES", {"hello", "you"});
  auto answer = test.post("/v2/models/fake/infer",
                          {{"inputs",
                            {texts,
                             rows("max_tokens", "INT32", {3, 5}),
                             rows("bad_words", "BYTES", {"", ""}),
                             scalar("temperature", "FP32", 0)}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["outputs"][0]["data"],
            Json({TestServer::expected("hello", 3), TestServer::expected("you", 5)}));
  answer = test.post("/v2/models/fake/infer",
                     {{"inputs", {texts, rows("max_tokens", "INT32", {3, -1})}}});
  EXPECT_EQ(answer.json()["error"], "max_tokens is -1, must be between 1 and 9223372036854775807");
}

TEST(KServe, RefusesExtensionsByName) {
  TestServer test;
  auto error = [&](const Json& input, const Json& more = Json::object()) {
    Json body = {{"inputs", Json::array({input})}};
    body.update(more);
    auto answer = test.post("/v2/models/fake/infer", body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return answer.json()["error"].get<std::string>();
  };
  Json shared = text_input({"a"});
  shared.erase("data");
  shared["parameters"] = {{"shared_memory_region", "r"}, {"shared_memory_byte_size", 64}};
  EXPECT_EQ(error(shared),
            "text_input is in shared memory, which is not read here\nhint: send its data with the "
            "request");
  Json input = text_input({"a"});
  input["parameters"] = {{"classification", 2}};
  EXPECT_EQ(error(input), "text_input has the parameter 'classification', which is not supported");
  input.erase("parameters");
  EXPECT_EQ(error(input, {{"model_version", "2"}}),
            "'model_version' is no member of an inference request");
  EXPECT_EQ(error(input, {{"parameters", {{"sequence_id", 3}}}}),
            "'sequence_id' is not supported\nhint: requests do not depend on each other");
  auto output = [](const Json& parameters) -> Json {
    return {{"outputs", {{{"name", "text_output"}, {"parameters", parameters}}}}};
  };
  EXPECT_TRUE(
      error(input, output({{"shared_memory_region", "r"}})).starts_with("outputs asks for"));
  EXPECT_EQ(error(input, output({{"classification", 2}})),
            "outputs has the parameter 'classification', which is not supported");
}

TEST(KServe, Generates) {
  TestServer test;
  const std::string expected = TestServer::expected("hello", 6);
  for (const Json& body : {Json({{"text_input", "hello"}, {"max_tokens", 6}}),
                           Json({{"text_input", "hello"}, {"parameters", {{"max_tokens", 6}}}})}) {
    Json json = test.post("/v2/models/fake/generate", body).json();
    EXPECT_EQ(json["text_output"], expected);
    EXPECT_EQ(json["model_name"], "fake");
    std::string text;
    for (const std::string& event : test.post("/v2/models/fake/generate_stream", body).events()) {
      text += Json::parse(event)["text_output"].get<std::string>();
    }
    EXPECT_EQ(text, expected);
  }
  const Json at_once = {{"text_input", "hello"}, {"max_tokens", 6}, {"stream", false}};
  auto events = test.post("/v2/models/fake/generate_stream", at_once).events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(Json::parse(events[0])["text_output"], expected);
  auto with_prompt =
      test.post("/v2/models/fake/generate",
                {{"text_input", "hello"}, {"max_tokens", 6}, {"exclude_input_in_output", false}});
  EXPECT_EQ(with_prompt.json()["text_output"], "hello" + expected);
  EXPECT_EQ(test.post("/v2/models/fake/generate", {{"text_input", "a"}, {"stream", true}}).status,
            400);
  EXPECT_EQ(test.post("/v2/models/other/generate", {{"text_input", "a"}}).status, 404);
}

TEST(KServe, Predicts) {
  TestServer test;
  constexpr std::string_view kPath = "/v1/models/fake:predict";
  const std::string expected = TestServer::expected("hello", 7);
  Json body = {{"prompt", "hello"}, {"max_new_tokens", 7}, {"top_k", 1}, {"top_p", 0}};
  EXPECT_EQ(test.post(kPath, body).json()["output"], expected);
  body["streaming"] = true;
  body["streaming_interval"] = 3;
  auto stream = test.post(kPath, body);
  EXPECT_EQ(stream.headers["transfer-encoding"], "chunked");
  EXPECT_EQ(stream.body, expected);
  Json several = {{"instances", {{{"prompt", "hello"}}, "you"}}, {"max_new_tokens", 7}};
  EXPECT_EQ(test.post(kPath, several).json()["predictions"],
            Json({expected, TestServer::expected("you", 7)}));
  const Json own = {{"instances",
                     {"hello",
                      {{"prompt", "you"}, {"max_tokens", 3}},
                      {{"prompt", "we"}, {"parameters", {{"max_tokens", 4}, {"end_id", -1}}}}}},
                    {"parameters", {{"max_tokens", 7}, {"temperature", 0}}}};
  EXPECT_EQ(test.post(kPath, own).json()["predictions"],
            Json({expected, TestServer::expected("you", 3), TestServer::expected("we", 4)}));
  auto unknown = test.post(kPath, {{"instances", {{{"prompt", "a"}, {"no_such", 1}}}}});
  EXPECT_EQ(unknown.json()["error"]["message"],
            "instances[0]: 'no_such' is no parameter of this endpoint");
  EXPECT_EQ(test.post(kPath, {{"instances", {"a"}}, {"prompt", "a"}}).status, 400);
  EXPECT_EQ(test.post(kPath, {{"prompt", Json::array()}}).status, 400);
  EXPECT_EQ(test.post(kPath, {{"instances", {3}}}).status, 400);
  EXPECT_EQ(test.post(kPath, Json::object()).status, 400);
  auto bad = test.post(kPath, {{"prompt", "a"}, {"temperature", -1}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.json()["error"]["param"], "temperature");
}

}  // namespace
}  // namespace tokamak::server
