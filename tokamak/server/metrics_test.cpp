// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/metrics.h"

#include <set>
#include <sstream>
#include <thread>

#include <gtest/gtest.h>

#include "tokamak/base/file.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

/// The value of a line of the exposition, by the text before it.
std::optional<double> value_of(const std::string& text, const std::string& series) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
  }
  return {};
}

TEST(Metrics, CountWhatTheClientSaw) {
  TestServer test;
  int64_t prompts = 0, outputs = 0;
  for (int i = 1; i <= 5; ++i) {
    Json usage = test.post("/v1/completions",
                           {{"prompt", std::string(static_cast<size_t>(i), 'a')},
                            {"max_tokens", i},
                            {"n", 2},
                            {"ignore_eos", true}})
                     .json()["usage"];
    prompts += usage["prompt_tokens"].get<int64_t>();
    outputs += usage["completion_tokens"].get<int64_t>();
  }
  ASSERT_TRUE(test.becomes_idle());
  const std::string text = test.get("/metrics").body;
  const std::string labels = "{engine=\"0\",model_name=\"fake\"}";
  for (const std::string prefix : {"tokamak:", "vllm:"}) {
    EXPECT_EQ(value_of(text, prefix + "prompt_tokens_total" + labels), prompts) << text;
    EXPECT_EQ(value_of(text, prefix + "generation_tokens_total" + labels), outputs);
    EXPECT_EQ(value_of(text, prefix + "time_to_first_token_seconds_count" + labels), 10);
    EXPECT_EQ(value_of(text, prefix + "num_requests_running" + labels), 0);
    EXPECT_EQ(value_of(text,
                       prefix + "request_success_total{engine=\"0\",finished_reason=\"length\","
                                "model_name=\"fake\"}"),
              10);
  }
  EXPECT_EQ(value_of(text, "nv_inference_request_success{model=\"fake\",version=\"1\"}"), 10);
  EXPECT_EQ(value_of(text, "nv_inference_request_failure{model=\"fake\",version=\"1\"}"), 0);
  EXPECT_EQ(value_of(text, "tokamak:http_requests_total{route=\"/v1/completions\",status=\"200\"}"),
            5);
  EXPECT_EQ(value_of(text,
                     "vllm:cache_config_info{block_size=\"64\",engine=\"0\",max_model_len=\"512\","
                     "model_name=\"fake\",num_gpu_blocks=\"64\"}"),
            1);
  for (const char* reason : {"capacity", "deferred"}) {
    EXPECT_EQ(value_of(text,
                       fmt::format("vllm:num_requests_waiting_by_reason{{engine=\"0\",model_name="
                                   "\"fake\",reason=\"{}\"}}",
                                   reason)),
              0);
  }
  EXPECT_NE(text.find("tokamak:time_to_first_token_seconds_bucket{engine=\"0\",model_name=\"fake\","
                      "le=\"0.001\"}"),
            std::string::npos);
}

TEST(Metrics, CountStepsByTheirTokens) {
  TestServer test;
  const std::string labels = "{engine=\"0\",model_name=\"fake\"}";
  for (int round = 1; round <= 2; ++round) {
    ASSERT_EQ(
        test.post("/v1/completions", {{"prompt", std::string(50, 'a')}, {"max_tokens", 5}}).status,
        200);
    ASSERT_TRUE(test.becomes_idle());
    const executor::ExecutorStats stats = test.executor->stats();
    for (int scrape = 0; scrape < 2; ++scrape) {
      const std::string text = test.get("/metrics").body;
      for (const std::string prefix : {"tokamak:", "vllm:"}) {
        const std::string name = prefix + "iteration_tokens_total";
        EXPECT_EQ(value_of(text, name + "_sum" + labels), test.fake->num_tokens) << text;
        EXPECT_EQ(value_of(text, name + "_sum" + labels), round * (50 + 4));
        EXPECT_EQ(value_of(text, name + "_count" + labels), stats.steps);
        auto up_to = [&](std::string_view bound) {
          return value_of(
              text,
              fmt::format("{}_bucket{{engine=\"0\",model_name=\"fake\",le=\"{}\"}}", name, bound));
        };
        EXPECT_EQ(up_to("1"), stats.steps - round);
        EXPECT_EQ(up_to("32"), stats.steps - round);
        EXPECT_EQ(up_to("64"), stats.steps);
        EXPECT_EQ(up_to("16384"), stats.steps);
        EXPECT_EQ(up_to("+Inf"), stats.steps);
      }
    }
  }
}

TEST(Metrics, CountHowOftenEachAnswerWasPreempted) {
  TestServer::Setup setup;
  setup.session.num_pages = 6;
  TestServer test(setup);
  // Four answers that grow to 4 pages each, in 6 pages.
  std::vector<std::thread> clients;
  for (char letter : {'a', 'b', 'c', 'd'}) {
    clients.emplace_back([&test, letter] {
      const Json body = {
          {"prompt", std::string(20, letter)}, {"max_tokens", 230}, {"ignore_eos", true}};
      EXPECT_EQ(test.post("/v1/completions", body).status, 200);
    });
  }
  for (std::thread& client : clients) client.join();
  ASSERT_TRUE(test.becomes_idle());
  const std::string text = test.get("/metrics").body;
  const std::string labels = "{engine=\"0\",model_name=\"fake\"}";
  const int64_t preemptions = test.executor->stats().preemptions;
  EXPECT_GT(preemptions, 0);
  EXPECT_EQ(value_of(text, "tokamak:num_preemptions_total" + labels), preemptions);
  for (const std::string prefix : {"tokamak:", "vllm:"}) {
    const std::string name = prefix + "request_num_preemptions";
    EXPECT_EQ(value_of(text, name + "_sum" + labels), preemptions) << text;
    EXPECT_EQ(value_of(text, name + "_count" + labels), 4);
    const auto none = value_of(text, name + R"(_bucket{engine="0",model_name="fake",le="0"})");
    ASSERT_TRUE(none);
    EXPECT_GE(*none, 1) << "the eldest always runs";
    EXPECT_LT(*none, 4);
  }
}

TEST(Metrics, LeaveAliasesOutWhenAsked) {
  TestServer::Setup setup;
  setup.server.metrics_aliases = false;
  TestServer test(setup);
  const std::string text = test.get("/metrics").body;
  EXPECT_NE(text.find("tokamak:num_requests_running"), std::string::npos);
  EXPECT_EQ(text.find("vllm:"), std::string::npos);
  EXPECT_EQ(text.find("nv_inference"), std::string::npos);
}

/// The words of a query that are names of metrics: ours hold a colon, Triton's begin with nv_.
std::vector<std::string> names_in(const std::string& query) {
  std::vector<std::string> names;
  std::string word;
  for (char c : query + " ") {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == ':') {
      word += c;
      continue;
    }
    if (word.starts_with("nv_") || (word.size() > 1 && word.find(':') != std::string::npos)) {
      names.push_back(word);
    }
    word.clear();
  }
  return names;
}

/// Each query of the dashboard names only series that the server publishes.
TEST(Metrics, AreWhatTheDashboardAsksFor) {
  TestServer test;
  ASSERT_EQ(test.post("/v1/completions", {{"prompt", "hello"}}).status, 200);
  const std::string text = test.get("/metrics").body;
  std::set<std::string> published;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#")) published.insert(line.substr(0, line.find_first_of("{ ")));
  }
  auto file = base::read_file("deploy/grafana/tokamak.json", 1 << 20);
  ASSERT_TRUE(file.ok()) << file.error().text();
  Json dashboard = Json::parse(*file);
  int queries = 0;
  for (const Json& panel : dashboard["panels"]) {
    for (const Json& target : panel.value("targets", Json::array())) {
      const std::string query = target["expr"];
      int names = 0;
      for (const std::string& name : names_in(query)) {
        EXPECT_TRUE(published.contains(name)) << name << " in " << query;
        ++names;
      }
      EXPECT_GT(names, 0) << query;
      ++queries;
    }
  }
  EXPECT_GE(queries, 10);
}

}  // namespace
}  // namespace tokamak::server
