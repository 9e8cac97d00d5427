// SPDX-License-Identifier: Apache-2.0
// What one request can cost: each field at its limit, beside a good client's stream. Twice the
// input takes at most twice the time, an answer and the work on it take a bounded multiple of the
// request, and others notice nothing.
#include <atomic>
#include <ctime>
#include <functional>
#include <new>

#include <gtest/gtest.h>
#include <malloc.h>

#include "tokamak/server/test_server.h"

// Sanitizers have allocators of their own, which must see both ends of each allocation: under them
// memory is not counted.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TKM_COUNTS_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TKM_COUNTS_MEMORY 0
#endif
#endif
#ifndef TKM_COUNTS_MEMORY
#define TKM_COUNTS_MEMORY 1
#endif

namespace {

std::atomic<int64_t> live_bytes{0}, peak_bytes{0};

}  // namespace

#if TKM_COUNTS_MEMORY
namespace {

void* counted(void* memory) {
  if (!memory) throw std::bad_alloc();
  const int64_t live = live_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  int64_t peak = peak_bytes;
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live)) {
  }
  return memory;
}

void uncounted(void* memory) {
  live_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) {
  return counted(std::malloc(size));
}
void* operator new(size_t size, std::align_val_t alignment) {
  return counted(std::aligned_alloc(static_cast<size_t>(alignment),
                                    (size + static_cast<size_t>(alignment) - 1) /
                                        static_cast<size_t>(alignment) *
                                        static_cast<size_t>(alignment)));
}
void operator delete(void* memory) noexcept {
  uncounted(memory);
}
void operator delete(void* memory, size_t) noexcept {
  uncounted(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  uncounted(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  uncounted(memory);
}
#endif

namespace tokamak::server {
namespace {

/// How much slower all is under a sanitizer: requests are as much smaller there, and limits in
/// seconds as much larger.
constexpr int kSlower = TKM_COUNTS_MEMORY ? 1 : 10;

/// A request that grows: about `size` bytes of one field.
struct Case {
  std::string name, path;
  std::function<std::string(size_t size)> body;
};

/// `element` again and again, with commas between; {} in it stands for a number that differs.
std::string list(size_t size, std::string_view element) {
  std::string out;
  for (size_t i = 0; out.size() < size; ++i) {
    if (i > 0) out += ',';
    out += fmt::format(fmt::runtime(element), i);
  }
  return out;
}

std::function<std::string(size_t)> with(std::string before,
                                        std::string element,
                                        std::string after) {
  return [=](size_t size) { return before + list(size, element) + after; };
}

/// A text of so many bytes between `before` and `after`.
std::function<std::string(size_t)> text(std::string before, std::string after) {
  return [=](size_t size) { return before + std::string(size, 'x') + after; };
}

constexpr std::string_view kCompletions = "/v1/completions", kChat = "/v1/chat/completions";

std::vector<Case> openai_cases() {
  std::vector<Case> cases;
  auto add = [&](std::string name, std::function<std::string(size_t)> body) {
    cases.push_back({std::move(name), std::string(kCompletions), std::move(body)});
  };
  const std::string a = R"({"prompt":"a","max_tokens":2,)";
  add("prompt", text(R"({"prompt":")", R"("})"));
  add("prompt ids", with(R"({"prompt":[)", "7", "]}"));
  add("prompt texts", with(R"({"prompt":[)", R"("a{}")", "]}"));
  add("prompt lists", with(R"({"prompt":[)", "[{}]", "]}"));
  add("prompt truncated",
      text(R"({"truncate_prompt_tokens":3,"max_tokens":2,"prompt":")", R"("})"));
  add("echo truncated",
      text(R"({"truncate_prompt_tokens":3,"echo":true,"n":128,"max_tokens":1,"prompt":")",
           R"("})"));
  for (const char* name : {"stop", "bad_words"}) {
    add(name, text(a + '"' + name + R"(":[")", R"("]})"));
    add(std::string(name) + " many", with(a + '"' + name + R"(":[)", R"("{}")", "]}"));
  }
  add("stop of many answers",
      with(R"({"prompt":["a","b","c","d"],"n":128,"max_tokens":2,"stop":[)", R"("{}")", "]}"));
  for (const char* name : {"stop_token_ids", "allowed_token_ids", "logprob_token_ids"})
    add(name, with(a + '"' + name + R"(":[)", "3", "]}"));
  add("logit_bias", with(a + R"("logit_bias":{)", R"("{}":1)", "}}"));
  for (const char* name : {"model", "request_id", "cache_salt", "user", "echo", "seed"})
    add(name, text(a + '"' + name + R"(":")", R"("})"));
  add("objects", with(a + R"("x":[)", "{{}}", "]}"));
  add("lists", with(a + R"("x":[)", "[]", "]}"));
  add("objects of objects", with(a + R"("x":[)", R"({{"a":{{}},"b":[{{}}]}})", "]}"));
  add("members", with(a, R"("m{}":0)", "}"));
  add("objects of members", with(a + R"("x":[)", R"({{"a":1,"b":2,"c":3,"d":4,"e":5}})", "]}"));
  add("depth", [=](size_t size) { return a + R"("x":)" + std::string(size, '['); });
  add("numbers", with(a + R"("x":[)", "1e30{}", "]}"));
  add("escapes", with(a + R"("x":[)", R"("\u00e9\n\ud83d\ude00")", "]}"));
  add("no JSON", [](size_t size) { return std::string(size, ' '); });
  add("stream_options", with(a + R"("stream":true,"stream_options":{)", R"("m{}":0)", "}}"));
  return cases;
}

std::vector<Case> chat_cases() {
  std::vector<Case> cases;
  auto add = [&](std::string name, std::function<std::string(size_t)> body) {
    cases.push_back({"chat " + name, std::string(kChat), std::move(body)});
  };
  const std::string message = R"({{"role":"user","content":"a"}})";
  const std::string hello = R"("max_tokens":2,"messages":[{"role":"user","content":"a"}],)";
  add("content", text(R"({"messages":[{"role":"user","content":")", R"("}]})"));
  add("messages", with(R"({"messages":[)", message, "]}"));
  add("parts",
      with(
          R"({"messages":[{"role":"user","content":[)", R"({{"type":"text","text":"a"}})", "]}]}"));
  add("members of a message",
      with(R"({"messages":[{"role":"user","content":"a",)", R"("m{}":0)", "}]}"));
  add("tool_calls",
      with(R"({"messages":[{"role":"assistant","content":"a","tool_calls":[)",
           R"({{"function":{{"name":"f","arguments":"{{}}"}}}})",
           "]}]}"));
  add("members of arguments",
      with(
          R"({"messages":[{"role":"assistant","content":"a","tool_calls":[{"function":{"arguments":"{)",
          R"(\"m{}\":0)",
          R"(}"}}]}]})"));
  add("tools",
      with("{" + hello + R"("tool_choice":"none","tools":[)", R"({{"type":"function"}})", "]}"));
  add("documents", with("{" + hello + R"("documents":[)", R"({{"text":"a"}})", "]}"));
  add("chat_template_kwargs",
      with("{" + hello + R"("chat_template_kwargs":{)", R"("m{}":0)", "}}"));
  return cases;
}

std::vector<Case> kserve_cases() {
  std::vector<Case> cases;
  const std::string generate = "/v2/models/fake/generate", infer = "/v2/models/fake/infer",
                    predict = "/v1/models/fake:predict";
  const std::string a = R"({"text_input":"a","max_tokens":2,)";
  cases.push_back({"text_input", generate, text(R"({"text_input":")", R"("})")});
  cases.push_back({"id", generate, text(a + R"("id":")", R"("})")});
  for (const char* name : {"stop_words", "bad_words", "stop"}) {
    const std::string field = a + '"' + name + R"(":[)";
    cases.push_back({name, generate, with(field, R"("{}")", "]}")});
    cases.push_back({name, generate, text(field + '"', R"("]})")});
  }
  cases.push_back({"parameters", generate, with(a + R"("parameters":{)", R"("m{}":0)", "}}")});
  const std::string input = R"({"name":"text_input","datatype":"BYTES","shape":[1],"data":["a"]})";
  cases.push_back({"inputs", infer, with(R"({"inputs":[)", "{" + input + "}", "]}")});
  cases.push_back(
      {"name of a tensor",
       infer,
       text(R"({"inputs":[)" + input + R"(,{"datatype":"INT32","shape":[1],"data":[1],"name":")",
            R"("}]})")});
  const std::string open = R"({"inputs":[{"name":"text_input","datatype":"BYTES",)";
  cases.push_back({"shape", infer, with(open + R"("data":["a"],"shape":[)", "1", "]}]}")});
  cases.push_back({"data", infer, with(open + R"("shape":[1],"data":[)", R"("a")", "]}]}")});
  cases.push_back({"data of lists", infer, with(open + R"("shape":[1],"data":[)", "[[]]", "]}]}")});
  cases.push_back(
      {"outputs",
       infer,
       with(R"({"inputs":[)" + input + R"(],"outputs":[)", R"({{"name":"text_output"}})", "]}")});
  cases.push_back({"instances", predict, with(R"({"instances":[)", R"({{"prompt":"a"}})", "]}")});
  cases.push_back({"prompts", predict, with(R"({"prompt":[)", R"("a")", "]}")});
  cases.push_back({"tokenize", "/tokenize", text(R"({"prompt":")", R"("})")});
  cases.push_back({"detokenize", "/detokenize", with(R"({"tokens":[)", "7", "]}")});
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases = openai_cases();
  for (auto more : {chat_cases(), kserve_cases()}) {
    for (Case& one : more) cases.push_back(std::move(one));
  }
  return cases;
}

/// Of all threads of this process: what the request takes, however busy the machine is.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double best_cpu_seconds(const TestServer& test, const std::string& request) {
  double best = 1e9;
  for (int run = 0; run < 5; ++run) {
    Client client(test.server->port());
    const double start = cpu_seconds();
    client.send(request);
    const Answer answer = client.read_answer();
    best = std::min(best, cpu_seconds() - start);
    EXPECT_TRUE(answer.complete);
    EXPECT_TRUE(answer.status == 200 || answer.status == 400 || answer.status == 404)
        << answer.status << answer.body;
    if (run > 0 && best < 0.002) break;  // Nothing to be compared.
  }
  return best;
}

TEST(Limits, OfListsAreNamed) {
  TestServer test;
  auto refusal = [&](std::string_view field, const Json& value) {
    const Answer answer =
        test.post(kCompletions, {{"prompt", "a"}, {"max_tokens", 1}, {field, value}});
    if (answer.status == 200) return std::string();
    EXPECT_EQ(answer.json()["error"]["param"], field);
    return answer.json()["error"]["message"].get<std::string>();
  };
  auto texts = [](int count) {
    Json list = Json::array();
    for (int i = 0; i < count; ++i) list.push_back(fmt::format("word {}", i));
    return list;
  };
  Json biases = Json::object();
  for (int i = 0; i < 1025; ++i) biases[std::to_string(i)] = 1;
  EXPECT_EQ(refusal("stop", texts(16)), "");
  EXPECT_EQ(refusal("stop", texts(17)), "stop has 17 texts, at most 16 are allowed");
  EXPECT_EQ(refusal("stop", std::string(1024, 'x')), "");
  EXPECT_EQ(refusal("stop", std::string(1025, 'x')),
            "stop[0] has 1025 bytes, at most 1024 are allowed");
  EXPECT_EQ(refusal("bad_words", texts(64)), "");
  EXPECT_EQ(refusal("bad_words", texts(129)), "bad_words has 129 texts, at most 128 are allowed");
  EXPECT_EQ(refusal("bad_words", Json::array({std::string(1025, 'x')})),
            "bad_words[0] has 1025 bytes, at most 1024 are allowed");
  EXPECT_EQ(refusal("stop_token_ids", std::vector<int>(128, 3)), "");
  EXPECT_EQ(refusal("stop_token_ids", std::vector<int>(129, 3)),
            "stop_token_ids has 129 ids, at most 128 are allowed");
  EXPECT_EQ(refusal("logprob_token_ids", std::vector<int>(128, 3)), "");
  EXPECT_EQ(refusal("logprob_token_ids", std::vector<int>(129, 3)),
            "logprob_token_ids has 129 ids, at most 128 are allowed");
  EXPECT_EQ(refusal("allowed_token_ids", std::vector<int>(kVocab + 1, 3)),
            "allowed_token_ids has 97 ids, at most 96 are allowed");
  EXPECT_EQ(refusal("logit_bias", biases), "logit_bias has 1025 tokens, at most 1024 are allowed");
}

// The words of a text that is refused for its length are not all counted.
TEST(Limits, APromptMuchLongerThanTheContextIsRefusedByItsBeginning) {
  TestServer test;
  for (const auto& [size, count] :
       {std::pair{600, "600"}, std::pair{8'000'000, "at least 16384"}}) {
    const Answer answer =
        test.post(kCompletions, {{"prompt", std::string(static_cast<size_t>(size), 'a')}});
    EXPECT_EQ(answer.status, 400);
    EXPECT_TRUE(answer.json()["error"]["message"].get<std::string>().starts_with(
        fmt::format("prompt has {} tokens, ", count)))
        << answer.body;
  }
  const Answer cut = test.post(kCompletions,
                               {{"prompt", std::string(100'000, 'a') + "hello"},
                                {"truncate_prompt_tokens", 5},
                                {"max_tokens", 6}});
  EXPECT_EQ(cut.json()["choices"][0]["text"], TestServer::expected("hello", 6)) << cut.body;
}

TEST(Limits, APromptMayBeCutToWhatTheContextAllows) {
  TestServer test;
  const std::string prompt = std::string(3000, 'a') + "hello";
  for (const int answer : {1, 6, 100}) {
    const Answer cut = test.post(
        kCompletions, {{"prompt", prompt}, {"truncate_prompt_tokens", -1}, {"max_tokens", answer}});
    EXPECT_EQ(cut.status, 200) << cut.body;
    EXPECT_EQ(cut.json()["usage"]["prompt_tokens"], 512 - answer);
  }
  const Json chat = {{"messages", {{{"role", "user"}, {"content", prompt}}}},
                     {"truncate_prompt_tokens", -1}};
  const Answer answer = test.post(kChat, chat);
  EXPECT_EQ(answer.json()["usage"]["prompt_tokens"], 511) << answer.body;
  const Answer whole = test.post(
      kCompletions, {{"prompt", "hello"}, {"truncate_prompt_tokens", -1}, {"max_tokens", 6}});
  EXPECT_EQ(whole.json()["choices"][0]["text"], TestServer::expected("hello", 6)) << whole.body;
  for (const int refused : {0, -2}) {
    const Answer none =
        test.post(kCompletions, {{"prompt", "a"}, {"truncate_prompt_tokens", refused}});
    EXPECT_EQ(none.json()["error"]["param"], "truncate_prompt_tokens") << none.body;
  }
}

TEST(Limits, TwiceTheInputTakesAtMostTwiceTheTime) {
  TestServer test;
  for (const Case& one : all_cases()) {
    SCOPED_TRACE(one.name);
    const auto seconds = [&](size_t size) {
      return best_cpu_seconds(test, request_text("POST", one.path, one.body(size)));
    };
    const double half = seconds(100'000 / kSlower), whole = seconds(200'000 / kSlower);
    // Times that are too short to be compared cannot grow into anything at the longest body.
    EXPECT_LE(whole, 2.5 * half + 0.004 * kSlower) << half << " s, then " << whole << " s";
  }
}

/// Reads events of a stream and keeps the longest time without one.
class GoodClient {
 public:
  explicit GoodClient(int port) : client_(port), thread_([this] { read(); }) {}
  ~GoodClient() {
    ended_ = true;
    thread_.join();
  }
  std::chrono::duration<double> take_longest_gap() {
    return std::chrono::duration<double>(longest_.exchange(0));
  }

 private:
  void read() {
    const Json body = {
        {"prompt", "hello"}, {"max_tokens", 400}, {"stream", true}, {"ignore_eos", true}};
    while (!ended_) {
      client_.send(request_text("POST", kCompletions, body.dump()));
      size_t seen = 0;
      auto last = std::chrono::steady_clock::now();
      while (client_.buffer().find("[DONE]", seen) == std::string::npos && client_.read_some()) {
        const auto now = std::chrono::steady_clock::now();
        longest_ = std::max(longest_.load(), std::chrono::duration<double>(now - last).count());
        last = now;
        seen = std::max<size_t>(client_.buffer().size(), 8) - 8;
      }
      EXPECT_TRUE(client_.read_answer().complete);
    }
  }

  Client client_;
  std::atomic<bool> ended_{false};
  std::atomic<double> longest_{0};
  std::thread thread_;
};

// What is kept of a list of short values is many times its text: 16 bytes for a number of one digit
// with its comma, 72 for an object of two, twice each while a list grows.
constexpr int64_t kMultiple = 100;
constexpr int64_t kSpareBytes = 16 << 20;

TEST(Limits, OthersNoticeNothingAndMemoryIsAMultipleOfTheRequest) {
  TestServer::Setup setup;
  setup.step_time = 1ms;
  TestServer test(setup);
  GoodClient good(test.server->port());
  for (const Case& one : all_cases()) {
    SCOPED_TRACE(one.name);
    const std::string request = request_text("POST", one.path, one.body(400'000 / kSlower));
    good.take_longest_gap();
    const int64_t before = live_bytes;
    peak_bytes = before;
    std::vector<std::thread> clients;
    for (int i = 0; i < 2; ++i) {
      clients.emplace_back([&] {
        Client client(test.server->port());
        client.send(request);
        EXPECT_TRUE(client.read_answer().complete);
      });
    }
    for (std::thread& client : clients) client.join();
    EXPECT_LT(peak_bytes - before, 2 * kMultiple * std::ssize(request) + kSpareBytes);
    EXPECT_LT(good.take_longest_gap().count(), 2.0 * kSlower);
  }
}

/// Answers that repeat what was sent, more often than it was.
TEST(Limits, AnAnswerThatWouldRepeatTooMuchIsRefusedBeforeAnyWork) {
  TestServer::Setup setup;
  setup.server.max_answer_bytes = 100'000;
  TestServer test(setup);
  auto refusal = [&](Json fields) {
    Json body = {{"prompt", std::string(400, 'a')}, {"max_tokens", 1}};
    body.update(fields);
    const Answer answer = test.post(kCompletions, body);
    const Json error = answer.json()["error"];
    return answer.status == 200
               ? ""
               : error["param"].get<std::string>() + ": " + error["message"].get<std::string>();
  };
  EXPECT_EQ(refusal({{"echo", true}, {"n", 16}}), "");
  ASSERT_TRUE(test.becomes_idle());
  const int64_t steps = test.executor->stats().steps;
  const std::string echo = refusal(
      {{"echo", true}, {"n", 128}, {"prompt", {std::string(400, 'a'), std::string(400, 'a')}}});
  EXPECT_TRUE(
      echo.starts_with("echo: echo asks for 800 bytes of prompts with each of 128 answers, "
                       "the limit is 100000 bytes"))
      << echo;
  EXPECT_TRUE(refusal({{"echo", true}, {"logprobs", 20}, {"n", 4}}).starts_with("echo: "));
  EXPECT_TRUE(refusal({{"prompt_logprobs", 20}, {"n", 4}}).starts_with("prompt_logprobs: "));
  EXPECT_TRUE(refusal({{"return_token_ids", true}, {"n", 128}}).starts_with("return_token_ids: "));
  EXPECT_EQ(test.executor->stats().steps, steps);
}

TEST(Limits, AnswersThatGrowBeyondTheLimitEndUnlessTheyAreStreamed) {
  TestServer::Setup setup;
  setup.server.max_answer_bytes = 20'000;
  TestServer test(setup);
  Json body = {{"prompt", "a"}, {"max_tokens", 400}, {"n", 16}, {"ignore_eos", true}};
  const Answer refused = test.post(kCompletions, body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_TRUE(refused.body.find("the answers have more than 20000 bytes together") !=
              std::string::npos)
      << refused.body;
  EXPECT_TRUE(test.becomes_idle());
  body["stream"] = true;
  EXPECT_EQ(test.post(kCompletions, body).events().back(), "[DONE]");
  body["stream"] = false;
  body["n"] = 2;
  EXPECT_EQ(test.post(kCompletions, body).status, 200);
}

TEST(Limits, OneRequestOfManyPromptsLeavesOthersTheirTurn) {
  TestServer::Setup setup;
  setup.step_time = 1ms;
  TestServer test(setup);
  Client many(test.server->port());
  const Json batch = {
      {"prompt", std::vector<std::string>(1024, "a")}, {"max_tokens", 400}, {"ignore_eos", true}};
  many.send(request_text("POST", kCompletions, batch.dump()));
  ASSERT_TRUE(eventually([&] { return test.executor->stats().waiting > 1000; }));
  for (int i = 0; i < 5; ++i) {
    const int64_t before = test.executor->stats().steps;
    const Answer answer = test.post(kCompletions, {{"prompt", "b"}, {"max_tokens", 2}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    // In the order of arrival it would be tens of thousands.
    EXPECT_LT(test.executor->stats().steps - before, 200);
  }
}

TEST(Limits, PrioritiesAreTheOperatorsToAllow) {
  TestServer test;
  for (const char* path : {"/v1/completions", "/v1/chat/completions"}) {
    Json body = {{"max_tokens", 1}, {"priority", -3}};
    if (path == kChat) {
      body["messages"] = {{{"role", "user"}, {"content", "a"}}};
    } else {
      body["prompt"] = "a";
    }
    const Answer refused = test.post(path, body);
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(refused.json()["error"]["param"], "priority");
    EXPECT_EQ(refused.json()["error"]["message"].get<std::string>(),
              "priority is -3, but requests have no priorities here\n"
              "hint: leave it out or send 0; the server takes others with --allow-priority");
    body["priority"] = 0;
    EXPECT_EQ(test.post(path, body).status, 200);
    TestServer::Setup setup;
    setup.server.allow_priority = true;
    body["priority"] = -3;
    EXPECT_EQ(TestServer(setup).post(path, body).status, 200);
  }
}

}  // namespace
}  // namespace tokamak::server
